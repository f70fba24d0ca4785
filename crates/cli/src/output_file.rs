//! Where what a command makes is written to.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file that appears under its name when it is complete, or nothing of it; or standard output.
pub(crate) struct OutputFile {
    writer: Option<Box<dyn Write + Send>>,
    /// The file as it is written, and its name.
    pending: Option<(PathBuf, PathBuf)>,
}

impl OutputFile {
    /// Opens the file's place, or standard output for none. A pipe or a device is written to as it is: nothing can be
    /// put in its place.
    pub(crate) fn open(path: Option<&Path>) -> io::Result<Self> {
        let Some(path) = path else {
            return Ok(Self { writer: Some(Box::new(io::stdout())), pending: None });
        };
        match std::fs::metadata(path) {
            Ok(found) if found.is_dir() => return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder")),
            Ok(found) if !found.is_file() => {
                let file = File::options().write(true).open(path)?;
                return Ok(Self { writer: Some(Box::new(file)), pending: None });
            }
            _ => {}
        }
        // What a link points to is replaced, not the link.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
        let file = File::create(&temporary)?;
        Ok(Self { writer: Some(Box::new(file)), pending: Some((temporary, path)) })
    }

    /// What to write to; whoever has it is the only one.
    pub(crate) fn writer(&mut self) -> Box<dyn Write + Send> {
        self.writer.take().unwrap_or_else(|| Box::new(io::sink()))
    }

    /// Puts the complete file in its place.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        if let Some((temporary, path)) = &self.pending {
            std::fs::rename(temporary, path)?;
            self.pending = None;
        }
        Ok(())
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if let Some((temporary, _)) = &self.pending {
            // What could not be put in place must not lie around.
            let _ = std::fs::remove_file(temporary);
        }
    }
}
