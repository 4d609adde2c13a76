//! Optional features of the file system: an engine that cannot do without one is caught, one that can is not.

use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;

use adapter_api::environment::real::read_whole;
use adapter_api::environment::{Cause, Directory, OpenFile};
use adapter_api::*;
use crash::judge::{Effort, Judge};
use crash::replay::replay;
use crash::shrink::shrink;
use crash::subject::Subject;

/// An engine that keeps its map in one file, which it writes anew for each batch and reserves room for.
struct Reserving {
    map: VersionedMap,
    directory: Arc<dyn Directory>,
    needs_allocate: bool,
}

impl Reserving {
    fn save(&self, view: &dyn ReadView) -> io::Result<()> {
        if self.directory.list()?.iter().any(|entry| entry.name == "new") {
            self.directory.remove("new")?;
        }
        let file = self.directory.open_file("new", OpenFile::CREATE_NEW)?;
        match file.allocate(0, 1) {
            Err(error) if error.kind() == ErrorKind::Unsupported && !self.needs_allocate => {}
            outcome => outcome?,
        }
        let mut bytes = Vec::new();
        let mut cursor = view.cursor(KeyRange::all(), Direction::Forward).map_err(io::Error::other)?;
        while let Some(entry) = cursor.next().map_err(io::Error::other)? {
            for part in [entry.key, entry.value] {
                bytes.extend((part.len() as u32).to_le_bytes());
                bytes.extend(part);
            }
        }
        file.write_at(&[IoSlice::new(&bytes)], 0, Cause::Other)?;
        file.set_len(bytes.len() as u64)?;
        file.sync_all()?;
        self.directory.rename("new", "map")?;
        self.directory.sync()
    }

    fn load(&self) -> io::Result<()> {
        let bytes = match read_whole(&*self.directory, "map", 1 << 30) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            read => read?,
        };
        let mut rest = &bytes[..];
        let mut part = || {
            let (len, behind) = rest.split_first_chunk().ok_or(ErrorKind::UnexpectedEof)?;
            let part = behind.split_at_checked(u32::from_le_bytes(*len) as usize);
            let (part, behind) = part.ok_or(ErrorKind::UnexpectedEof)?;
            rest = behind;
            Ok::<_, io::Error>((part, rest.is_empty()))
        };
        let mut batch = BatchBuilder::new();
        while !bytes.is_empty() {
            let ((key, _), (value, is_last)) = (part()?, part()?);
            batch.put(key, value).map_err(io::Error::other)?;
            if is_last {
                break;
            }
        }
        self.map.stage(batch.as_batch()).publish();
        Ok(())
    }
}

fn failed(error: io::Error) -> EngineError {
    EngineError::failed_by("the map", error)
}

impl Plugin for Reserving {
    fn describe() -> Description {
        let mut about = Description::new("reserving", "0.1.0", "reserves room in its file");
        about.capabilities = Capabilities::READ_VIEW | Capabilities::DURABLE;
        about.options = vec![OptionSpec::flag("needs_allocate", false, "does not work without room")];
        about
    }

    fn open(request: OpenRequest) -> Result<Self> {
        let needs_allocate = request.options.flag("needs_allocate");
        let engine =
            Self { map: VersionedMap::new(), directory: request.environment.directory, needs_allocate };
        engine.load().map_err(failed)?;
        engine.save(&engine.map.view()).map_err(failed)?;
        Ok(engine)
    }
}

impl StorageEngine for Reserving {
    fn apply(&self, batch: Batch<'_>) -> Result<()> {
        let mut staged = self.map.stage(batch);
        self.save(&staged.view()).map_err(failed)?;
        staged.publish();
        Ok(())
    }

    fn get(&self, key: &[u8], value: &mut Buffer) -> Result<bool> {
        Ok(self.map.get(key, value))
    }

    fn read_view(&self) -> Result<Box<dyn ReadView + '_>> {
        Ok(Box::new(self.map.view()))
    }
}

#[test]
fn an_engine_that_cannot_do_without_an_optional_feature_is_caught() {
    let effort = Effort { operations: 10, ..Effort::of(3_000) };
    let subject = |needs| Subject::in_process::<Reserving>(&[("needs_allocate", needs)]).unwrap();
    Judge::new(&subject("false"), effort).judge(1).unwrap_or_else(|violation| panic!("{violation}"));
    let needing = subject("true");
    let violation = Judge::new(&needing, effort).judge(1).unwrap_err();
    let smallest = shrink(&needing, *violation);
    assert!(smallest.script.lives[0].without.allocate, "{smallest}");
    assert!(!replay(&needing, &smallest.script).unwrap_err().is_misfit());
}
