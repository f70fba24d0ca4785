//! A folder in the format of MLflow's file store: an experiment is a folder, a run a folder in it, a parameter or tag a
//! file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use llmops_domain::hash::ContentHash;
use llmops_domain::yaml::Document;
use serde_json::{Value, json};

use super::content::Content;
use super::{MlflowError, Tracked};

/// Name of the file that says what a folder is.
const META: &str = "meta.yaml";
/// How the file store writes that a run has finished, and that it has failed.
const FINISHED: u8 = 3;
const FAILED: u8 = 4;

/// An `mlruns` store.
pub(super) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The experiment's id, where there is one.
    pub(super) fn find(&self, name: &str) -> Result<Option<String>, MlflowError> {
        let found = folders(&self.root)?.into_iter().find(|folder| text_of(&meta(folder), "name") == Some(name));
        Ok(found.map(|folder| file_name(&folder)))
    }

    /// The experiment's id, made where there is none.
    pub(super) fn experiment(&self, name: &str) -> Result<String, MlflowError> {
        if let Some(known) = self.find(name)? {
            return Ok(known);
        }
        // The id follows from the name, so that two writers make the same one.
        let hash = ContentHash::of_bytes(name.as_bytes());
        let digits: String = hash.as_str().bytes().map(|b| char::from(b'0' + b % 10)).take(17).collect();
        let id = format!("1{digits}");
        let folder = self.root.join(&id);
        let now = llmops_domain::clock::now().as_millisecond();
        let meta = json!({
            "artifact_location": uri(&folder), "creation_time": now, "experiment_id": id, "last_update_time": now,
            "lifecycle_stage": "active", "name": name,
        });
        write(&folder.join(META), &yaml(&meta))?;
        Ok(id)
    }

    pub(super) fn log(&self, experiment: &str, content: &Content) -> Result<Tracked, MlflowError> {
        let known = content.tags.get(super::RUN_TAG).map_or(content.name.as_str(), String::as_str);
        let id = ContentHash::of_bytes(format!("{experiment}/{known}").as_bytes()).as_str()[..32].to_owned();
        let folder = self.root.join(experiment).join(&id);
        let meta = json!({
            "artifact_uri": uri(&folder.join("artifacts")), "end_time": content.end, "entry_point_name": "",
            "experiment_id": experiment, "lifecycle_stage": "active", "run_id": id, "run_name": content.name, "run_uuid": id,
            "source_name": "", "source_type": 4, "source_version": "", "start_time": content.start,
            "status": if content.finished { FINISHED } else { FAILED }, "tags": [], "user_id": "llmops",
        });
        for (name, value) in &content.params {
            write(&folder.join("params").join(name), value)?;
        }
        for (name, value) in &content.tags {
            write(&folder.join("tags").join(name), value)?;
        }
        for (name, value) in &content.metrics {
            write(&folder.join("metrics").join(name), &format!("{} {value} 0\n", content.end))?;
        }
        write_artifacts(&folder.join("artifacts"), content)?;
        // Last, because a folder with it is a run.
        write(&folder.join(META), &yaml(&meta))?;
        Ok(Tracked { id, start_time: content.start, tags: content.tags.clone(), metrics: content.metrics.clone() })
    }

    pub(super) fn tagged(&self, experiment: &str, (tag, value): (&str, &str)) -> Result<Vec<Tracked>, MlflowError> {
        let mut runs = Vec::new();
        for folder in folders(&self.root.join(experiment))? {
            let tags = files(&folder.join("tags"))?;
            if tags.get(tag).map(String::as_str) != Some(value) {
                continue;
            }
            let meta = meta(&folder);
            if text_of(&meta, "lifecycle_stage") == Some("deleted") {
                continue;
            }
            let last = |lines: String| lines.lines().last()?.split(' ').nth(1)?.parse::<f64>().ok();
            let metrics = files(&folder.join("metrics"))?;
            runs.push(Tracked {
                id: file_name(&folder),
                start_time: meta.get("start_time").and_then(Value::as_i64).unwrap_or_default(),
                tags,
                metrics: metrics.into_iter().filter_map(|(name, lines)| Some((name, last(lines)?))).collect(),
            });
        }
        runs.sort_by_key(|run| std::cmp::Reverse(run.start_time));
        Ok(runs)
    }

    pub(super) fn set_tag(&self, experiment: &str, run: &str, (tag, value): (&str, &str)) -> Result<(), MlflowError> {
        write(&self.root.join(experiment).join(run).join("tags").join(tag), value)
    }

    pub(super) fn delete_tag(&self, experiment: &str, run: &str, tag: &str) -> Result<(), MlflowError> {
        let path = self.root.join(experiment).join(run).join("tags").join(tag);
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(failed("remove", &path, source)),
            _ => Ok(()),
        }
    }
}

/// Writes a run's files to a folder.
pub(super) fn write_artifacts(folder: &Path, content: &Content) -> Result<(), MlflowError> {
    for (name, text) in &content.artifacts {
        write(&folder.join(name), text)?;
    }
    Ok(())
}

fn failed(action: &'static str, path: &Path, source: std::io::Error) -> MlflowError {
    MlflowError::File { action, path: path.display().to_string(), source }
}

fn write(path: &Path, text: &str) -> Result<(), MlflowError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|e| failed("make the folder", folder, e))?;
    }
    std::fs::write(path, text).map_err(|e| failed("write", path, e))
}

/// Folders in a folder, by name; none where it is not there.
fn folders(of: &Path) -> Result<Vec<PathBuf>, MlflowError> {
    let entries = match std::fs::read_dir(of) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed("read", of, e)),
    };
    let mut folders: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.join(META).is_file()).collect();
    folders.sort();
    Ok(folders)
}

/// The texts of the files of a folder, by name. Names with slashes are files in folders; none of ours has one.
fn files(of: &Path) -> Result<BTreeMap<String, String>, MlflowError> {
    let entries = match std::fs::read_dir(of) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(e) => return Err(failed("read", of, e)),
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file());
    paths
        .map(|path| {
            let text = std::fs::read(&path).map_err(|e| failed("read", &path, e))?;
            Ok((file_name(&path), String::from_utf8_lossy(&text).trim_end_matches('\n').to_owned()))
        })
        .collect()
}

/// What a folder's `meta.yaml` says; empty where it cannot be read, as MLflow itself passes over such folders.
fn meta(folder: &Path) -> Value {
    let text = std::fs::read_to_string(folder.join(META)).unwrap_or_default();
    Document::parse(&text, META).map(|document| document.value).unwrap_or_default()
}

fn text_of<'a>(meta: &'a Value, key: &str) -> Option<&'a str> {
    meta.get(key).and_then(Value::as_str)
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The address of a folder. MLflow wants a whole path.
fn uri(folder: &Path) -> String {
    let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    format!("file://{}", whole.display())
}

/// YAML of an object of plain values: JSON on every line is YAML.
fn yaml(value: &Value) -> String {
    let entries = value.as_object().into_iter().flatten();
    entries.map(|(key, value)| format!("{key}: {value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(id: &str, start: i64, overall: f64) -> Content {
        Content {
            name: format!("run {id}"),
            start,
            end: start + 5,
            finished: true,
            params: [("model".to_owned(), "sim/m".to_owned())].into(),
            metrics: [("overall_score".to_owned(), overall)].into(),
            tags: [(super::super::RUN_TAG.to_owned(), id.to_owned())].into(),
            artifacts: vec![("scores.json".to_owned(), "{}".to_owned())],
        }
    }

    #[test]
    fn what_is_logged_is_found_again() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::new(root.path().join("mlruns"));
        assert_eq!(folder.find("shop").unwrap(), None);
        let experiment = folder.experiment("shop").unwrap();
        assert_eq!(folder.find("shop").unwrap().as_ref(), Some(&experiment));
        assert_eq!(folder.experiment("shop").unwrap(), experiment, "an experiment is made once");
        assert_ne!(folder.experiment("other").unwrap(), experiment);
        let old = folder.log(&experiment, &content("run_1", 10, 0.8)).unwrap();
        let new = folder.log(&experiment, &content("run_2", 20, 0.9)).unwrap();
        assert_eq!(folder.tagged(&experiment, ("env", "production")).unwrap(), []);
        for run in [&old, &new] {
            folder.set_tag(&experiment, &run.id, ("env", "production")).unwrap();
        }
        let found = folder.tagged(&experiment, ("env", "production")).unwrap();
        assert_eq!(found.iter().map(|run| &run.id).collect::<Vec<_>>(), [&new.id, &old.id], "the newest first");
        assert_eq!(found[0].metrics, new.metrics);
        folder.delete_tag(&experiment, &new.id, "env").unwrap();
        folder.delete_tag(&experiment, &new.id, "env").unwrap();
        assert_eq!(folder.tagged(&experiment, ("env", "production")).unwrap().len(), 1);
    }
}
