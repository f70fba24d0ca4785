//! Rows as a Parquet file, written group by group.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

/// How a column is read from a row.
pub(crate) enum Read<R> {
    Text(fn(&R) -> Option<String>),
    /// Microseconds since 1970, UTC.
    Time(fn(&R) -> Option<i64>),
    Int(fn(&R) -> Option<i64>),
    Real(fn(&R) -> Option<f64>),
    /// The number with this position among those of which a row has as many as the file has columns for.
    Nth(fn(&R, usize) -> Option<f64>, usize),
    Bool(fn(&R) -> Option<bool>),
}

impl<R> Read<R> {
    fn physical(&self) -> (Physical, Option<LogicalType>) {
        match self {
            Self::Text(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Self::Time(_) => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
            Self::Int(_) => (Physical::INT64, None),
            Self::Real(_) | Self::Nth(..) => (Physical::DOUBLE, None),
            Self::Bool(_) => (Physical::BOOLEAN, None),
        }
    }
}

/// A file that is being written. Every column may be null.
pub(crate) struct ParquetFile<W: Write + Send, R> {
    writer: SerializedFileWriter<W>,
    columns: Vec<Read<R>>,
}

impl<W: Write + Send, R> ParquetFile<W, R> {
    /// Begins a file with these columns, in their order.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn new<N: AsRef<str>>(file: W, columns: Vec<(N, Read<R>)>) -> Result<Self, ParquetError> {
        let mut fields = Vec::with_capacity(columns.len());
        for (name, read) in &columns {
            let (physical, logical) = read.physical();
            let field = Type::primitive_type_builder(name.as_ref(), physical)
                .with_repetition(Repetition::OPTIONAL)
                .with_logical_type(logical);
            fields.push(Arc::new(field.build()?));
        }
        let schema = Arc::new(Type::group_type_builder("record").with_fields(fields).build()?);
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
        let writer = SerializedFileWriter::new(file, schema, Arc::new(properties))?;
        Ok(Self { writer, columns: columns.into_iter().map(|(_, read)| read).collect() })
    }

    /// Writes rows as one group.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn write(&mut self, rows: &[R]) -> Result<(), ParquetError> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for read in &self.columns {
            let Some(mut column) = group.next_column()? else { break };
            match *read {
                Read::Text(read) => {
                    let text = |row: &R| read(row).map(|text| ByteArray::from(text.into_bytes()));
                    let (values, levels) = values(rows, text);
                    column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None)?;
                }
                Read::Time(read) | Read::Int(read) => {
                    let (values, levels) = values(rows, read);
                    column.typed::<Int64Type>().write_batch(&values, Some(&levels), None)?;
                }
                Read::Real(read) => {
                    let (values, levels) = values(rows, read);
                    column.typed::<DoubleType>().write_batch(&values, Some(&levels), None)?;
                }
                Read::Nth(read, nth) => {
                    let (values, levels) = values(rows, |row| read(row, nth));
                    column.typed::<DoubleType>().write_batch(&values, Some(&levels), None)?;
                }
                Read::Bool(read) => {
                    let (values, levels) = values(rows, read);
                    column.typed::<BoolType>().write_batch(&values, Some(&levels), None)?;
                }
            }
            column.close()?;
        }
        group.close().map(drop)
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn finish(self) -> Result<(), ParquetError> {
        self.writer.close().map(drop)
    }
}

/// The values that are there, and for each row whether one is.
fn values<R, T>(rows: &[R], read: impl Fn(&R) -> Option<T>) -> (Vec<T>, Vec<i16>) {
    let all: Vec<Option<T>> = rows.iter().map(read).collect();
    let levels = all.iter().map(|value| i16::from(value.is_some())).collect();
    (all.into_iter().flatten().collect(), levels)
}
