//! Makes Rust of proto/, without protoc: protox reads the files, tonic writes the code. The descriptors are kept for reflection.

use std::path::PathBuf;

const PROTOS: [&str; 4] = [
    "mingpai/v1/resolver.proto",
    "mingpai/v1/registrar.proto",
    "mingpai/v1/importer.proto",
    "grpc/health/v1/health.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=build.rs");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true).open_files(PROTOS)?;
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is set by cargo")?);
    std::fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure()
        .build_client(false)
        .build_transport(false)
        .bytes(".mingpai.v1.ImportRequest.chunk")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
