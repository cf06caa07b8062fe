//! What `--dev` adds: an administrator's key in DIR/dev-token for scripts, and demonstration data, loaded once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::model::permitted::Permitted;
use crate::model::time::Timestamp;
use crate::services::administer::CreateKey;
use crate::services::import::{Begun, JobState, JobView, OnConflict, ReadJob, StartImport};
use crate::services::{ServiceError, Services};
use crate::sign::keys::{KeyError, read_secret_file, write_secret_file};

/// Fictional products of five industries; config/demo/README.md tells of them.
const RECORDS: &str = include_str!("../../config/demo/records.ndjson");

/// An administrator's key in DIR/dev-token (0600): the one that is there, if it still opens this node.
pub async fn dev_token(services: &Services, folder: &Path) -> Result<PathBuf, ServiceError> {
    let internal = |error: KeyError| ServiceError::Internal(error.to_string());
    let path = folder.join("dev-token");
    if path.exists() {
        let text = read_secret_file(&path).map_err(internal)?;
        let token = String::from_utf8_lossy(&text).trim().to_owned();
        if services.authenticate(&token, Timestamp::now()).is_ok() {
            return Ok(path);
        }
        std::fs::remove_file(&path).map_err(|error| ServiceError::Internal(error.to_string()))?;
    }
    let request = CreateKey::for_administrator("serve --dev");
    let made = services.create_key(Permitted::bypassing_the_guard("dev", request)).await?;
    let text = made.text.ok_or_else(|| ServiceError::Internal("a key without a text".to_owned()))?;
    write_secret_file(&path, format!("{text}\n").as_bytes()).map_err(internal)?;
    Ok(path)
}

/// Registers the demonstration records that are not there yet.
pub async fn load_demonstration(services: &Arc<Services>) -> Result<JobView, ServiceError> {
    let start = StartImport { on_conflict: OnConflict::Skip, ..StartImport::default() };
    let asked = Permitted::bypassing_the_guard("demonstration", start);
    let mut view = match services.begin_import(asked).await? {
        Begun::Known(repeat) => services.repeated_import(*repeat)?,
        Begun::Upload(mut upload) => {
            upload.write(&Bytes::from_static(RECORDS.as_bytes())).await?;
            services.start_import(*upload).await?
        }
    };
    while view.state == JobState::Running {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let asked = ReadJob { id: view.id.clone() };
        view = services.import(&Permitted::bypassing_the_guard("demonstration", asked))?;
    }
    Ok(view)
}
