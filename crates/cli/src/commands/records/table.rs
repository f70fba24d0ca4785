//! Request records as a Parquet file: a row a record.

use std::io::Write;

use llmops_domain::record::RequestRecord;
use parquet::errors::ParquetError;
use serde::Serialize;

use crate::parquet_file::{ParquetFile, Read};

/// The columns in their order. What has parts of its own is JSON text.
const COLUMNS: [(&str, Read<RequestRecord>); 34] = [
    ("id", Read::Text(|r| Some(r.id.clone()))),
    ("at", Read::Time(|r| Some(r.at.as_microsecond()))),
    ("door", Read::Text(|r| word(&r.door))),
    ("key", Read::Text(|r| r.key.clone())),
    ("deployment", Read::Text(|r| r.deployment.clone())),
    ("environment", Read::Text(|r| r.environment.clone())),
    ("manifest", Read::Text(|r| r.manifest.as_ref().map(ToString::to_string))),
    ("safe_mode", Read::Bool(|r| Some(r.safe_mode))),
    ("variant", Read::Text(|r| r.variant.clone())),
    ("model", Read::Text(|r| Some(r.model.clone()))),
    ("model_answered", Read::Text(|r| r.model_answered.clone())),
    ("fingerprint", Read::Text(|r| r.fingerprint.clone())),
    ("stream", Read::Bool(|r| Some(r.stream))),
    ("user", Read::Text(|r| r.user.clone())),
    ("session", Read::Text(|r| r.session.clone())),
    ("trace_id", Read::Text(|r| r.trace_id.clone())),
    ("tags", Read::Text(|r| json(&r.tags))),
    ("prompt_tokens", Read::Int(|r| i64::try_from(r.usage.prompt_tokens).ok())),
    ("completion_tokens", Read::Int(|r| i64::try_from(r.usage.completion_tokens).ok())),
    ("cached_tokens", Read::Int(|r| i64::try_from(r.usage.cached_tokens).ok())),
    ("cache_write_tokens", Read::Int(|r| i64::try_from(r.usage.cache_write_tokens).ok())),
    ("usage_estimated", Read::Bool(|r| Some(r.usage_estimated))),
    ("cost", Read::Real(|r| r.cost)),
    ("first_byte_ms", Read::Real(|r| r.first_byte_ms)),
    ("total_ms", Read::Real(|r| Some(r.total_ms))),
    ("status", Read::Int(|r| Some(i64::from(r.status)))),
    ("outcome", Read::Text(|r| word(&r.outcome))),
    ("error", Read::Text(|r| r.error.clone())),
    ("finish_reason", Read::Text(|r| r.finish_reason.clone())),
    ("soft_failures", Read::Text(|r| json(&r.soft_failures))),
    ("undecided", Read::Text(|r| json(&r.undecided))),
    ("attempts", Read::Text(|r| json(&r.attempts))),
    ("request_body", Read::Text(|r| r.request_body.clone())),
    ("response_body", Read::Text(|r| r.response_body.clone())),
];

/// The name of an enum's value, as JSON has it.
fn word<T: Serialize>(value: &T) -> Option<String> {
    serde_json::to_value(value).ok()?.as_str().map(str::to_owned)
}

fn json<T: Serialize>(value: &T) -> Option<String> {
    serde_json::to_string(value).ok()
}

/// Begins a file of records.
///
/// # Errors
/// When it cannot be written.
pub(super) fn begin<W: Write + Send>(file: W) -> Result<ParquetFile<W, RequestRecord>, ParquetError> {
    ParquetFile::new(file, Vec::from(COLUMNS))
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use serde_json::json;

    use super::*;

    #[test]
    fn records_read_back_as_rows() {
        let record = |id: &str, user: Option<&str>| -> RequestRecord {
            serde_json::from_value(json!({"id": id, "at": "2026-11-26T10:00:00Z", "door": "chat", "model": "sim/small",
                "stream": true, "user": user, "tags": {"country": "DE"}, "cost": 0.25, "total_ms": 2.5, "status": 200,
                "usage": {"prompt_tokens": 3, "completion_tokens": 1}, "outcome": "ok", "attempts": [],
                "response_body": "ünï"}))
            .unwrap()
        };
        let mut file = Vec::new();
        let mut table = begin(&mut file).unwrap();
        table.write(&[record("req_1", Some("ana")), record("req_2", None)]).unwrap();
        table.write(&[]).unwrap();
        table.write(&[record("req_3", None)]).unwrap();
        table.finish().unwrap();
        let reader = SerializedFileReader::new(bytes::Bytes::from(file)).unwrap();
        let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_json_value()).collect();
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[0]["id"], "req_1");
        assert_eq!((&rows[0]["user"], &rows[1]["user"]), (&json!("ana"), &json!(null)));
        assert_eq!(
            (&rows[2]["cost"], &rows[2]["stream"], &rows[2]["outcome"]),
            (&json!(0.25), &json!(true), &json!("ok"))
        );
        assert_eq!((&rows[2]["tags"], &rows[2]["response_body"]), (&json!(r#"{"country":"DE"}"#), &json!("ünï")));
        assert_eq!(rows[0].as_object().unwrap().len(), COLUMNS.len());
    }
}
