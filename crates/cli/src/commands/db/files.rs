//! The files of an export: `manifest.json`, and one of JSON lines for each table.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write};
use std::path::Path;

use jiff::Timestamp;
use llmops_domain::scorecard::format;
use llmops_storage::{Store, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::super::{Context, json, write_file};
use super::failed;
use crate::failure::{Failure, Kind, Outcome};

/// The name of the list of files.
const MANIFEST: &str = "manifest.json";
/// The format of the files.
const FORMAT: u32 = 1;
/// Lines that are handed on together.
const BATCH: usize = 1000;

/// What was exported.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    /// The version of llmops that wrote it.
    llmops: String,
    /// The number of the newest migration.
    schema: u64,
    at: Timestamp,
    tables: Vec<Entry>,
}

/// One file.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    name: String,
    rows: u64,
    sha256: String,
}

/// What can go wrong while a table is written.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Writes the whole store into a folder.
pub(super) async fn export(context: &Context, store: &Store, folder: &Path) -> Outcome {
    let io = |e: std::io::Error| Failure::because(Kind::Undecided, format!("cannot write to {}", folder.display()), &e);
    std::fs::create_dir_all(folder).map_err(io)?;
    if std::fs::read_dir(folder).map_err(io)?.next().is_some() {
        return Err(Failure::usage(format!("{} is not empty", folder.display())).hint("name another folder"));
    }
    let schema = store.schema_version().await.map_err(failed("cannot read the store"))?;
    let mut export = store.export().await.map_err(failed("cannot read the store"))?;
    let mut entries = Vec::new();
    for table in export.tables.clone() {
        let mut file = BufWriter::new(File::create(folder.join(format!("{}.ndjson", table.name))).map_err(io)?);
        let mut hash = Sha256::new();
        let mut line = Vec::new();
        let written = export.read::<WriteError>(&table, |row| {
            line.clear();
            serde_json::to_writer(&mut line, row).map_err(std::io::Error::other)?;
            line.push(b'\n');
            hash.update(&line);
            Ok(file.write_all(&line)?)
        });
        let rows = written.await.map_err(|e| Failure::because(Kind::Undecided, "the export broke off", &e))?;
        file.flush().map_err(io)?;
        file.get_ref().sync_all().map_err(io)?;
        entries.push(Entry { name: table.name.to_owned(), rows, sha256: hex(&hash.finalize()) });
    }
    export.finish().await.map_err(failed("cannot read the store"))?;
    let llmops = env!("CARGO_PKG_VERSION").to_owned();
    let manifest = Manifest { format: FORMAT, llmops, schema, at: llmops_domain::clock::now(), tables: entries };
    // Last: a folder without it is no whole export.
    write_file(&folder.join(MANIFEST), &json(&manifest)?)?;
    context.show(&manifest, || {
        let rows: u64 = manifest.tables.iter().map(|entry| entry.rows).sum();
        format!(
            "{}: {} in {}, schema {}.\n`llmops db import {}` fills an empty store with it. It holds the hashes of keys and \
             everything that was said: keep it as you keep the store.",
            folder.display(),
            format::count(rows, "row"),
            format::count(manifest.tables.len() as u64, "table"),
            manifest.schema,
            folder.display()
        )
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Fills an empty store from a folder, wholly or not at all.
pub(super) async fn import(context: &Context, store: &Store, folder: &Path) -> Outcome {
    let manifest = read_manifest(folder)?;
    let schema = store.schema_version().await.map_err(failed("cannot read the store"))?;
    if manifest.schema != schema {
        return Err(Failure::usage(format!(
            "{} has schema {}, and this llmops has {schema}",
            folder.display(),
            manifest.schema
        ))
        .hint(format!("import it with llmops {}, then let this one migrate the store", manifest.llmops)));
    }
    let mut restore = store.restore().await.map_err(failed("the store cannot be filled"))?;
    let tables = restore.tables.clone();
    if let Some(unknown) = manifest.tables.iter().find(|entry| tables.iter().all(|table| table.name != entry.name)) {
        return Err(Failure::usage(format!("{MANIFEST} names the table `{}`, which there is not", unknown.name)));
    }
    for table in tables {
        let Some(entry) = manifest.tables.iter().find(|entry| entry.name == table.name) else {
            return Err(Failure::usage(format!("{MANIFEST} does not name the table `{}`", table.name))
                .hint("nothing was imported; export again"));
        };
        let path = folder.join(format!("{}.ndjson", entry.name));
        let (mut rows, mut hash, mut batch) = (0, Sha256::new(), Vec::new());
        let mut file = BufReader::new(open(&path)?);
        let mut line = String::new();
        loop {
            line.clear();
            let read = file.read_line(&mut line).map_err(|e| unreadable(&path, &e))?;
            hash.update(line.as_bytes());
            if read > 0 {
                rows += 1;
                let row: Value = serde_json::from_str(&line)
                    .map_err(|e| Failure::usage(format!("{}:{rows}: not JSON: {e}", path.display())))?;
                batch.push(row);
            }
            if batch.len() >= BATCH || read == 0 {
                restore.write(&table, &batch).await.map_err(failed("the store does not take a row"))?;
                batch.clear();
            }
            if read == 0 {
                break;
            }
        }
        if (rows, hex(&hash.finalize())) != (entry.rows, entry.sha256.clone()) {
            return Err(Failure::usage(format!(
                "{} is not what was exported: rows are missing or changed",
                path.display()
            ))
            .hint("nothing was imported; export again"));
        }
    }
    restore.finish().await.map_err(failed("the store does not keep the rows"))?;
    context.show(&manifest, || {
        let rows: u64 = manifest.tables.iter().map(|entry| entry.rows).sum();
        format!("{} imported, as of {}.", format::count(rows, "row"), manifest.at.strftime("%Y-%m-%d %H:%M:%S UTC"))
    })
}

fn read_manifest(folder: &Path) -> Outcome<Manifest> {
    let path = folder.join(MANIFEST);
    let manifest: Manifest = serde_json::from_reader(BufReader::new(open(&path)?))
        .map_err(|e| Failure::usage(format!("{} is no list of an export: {e}", path.display())))?;
    if manifest.format == FORMAT {
        return Ok(manifest);
    }
    Err(Failure::usage(format!("{} has the format {}: this llmops reads {FORMAT}", path.display(), manifest.format)))
}

fn open(path: &Path) -> Outcome<File> {
    File::open(path).map_err(|e| unreadable(path, &e))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::because(Kind::Usage, format!("cannot read {}", path.display()), error)
}
