//! The messages and services of proto/, as build.rs makes them. Not here: what they mean.

#![expect(clippy::allow_attributes, clippy::allow_attributes_without_reason, reason = "generated code")]

/// `mingpai.v1`: ours.
pub mod v1 {
    tonic::include_proto!("mingpai.v1");
}

/// `grpc.health.v1`: the health checking protocol of gRPC.
pub mod health {
    tonic::include_proto!("grpc.health.v1");
}

/// All of proto/ as a `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
