//! Engines by strangers: they run in the simulator unchanged, and are told what it cannot see. One test alone in its
//! program, for it counts the threads of the process.

mod scripts;

use std::sync::Mutex;

use adapter_api::*;
use crash::stranger::{Remarks, watch};
use crash::subject::Subject;
use e2e::build::{own_engine, stranger};

/// An engine that claims to be durable, starts a thread and touches no file.
struct Loner {
    map: VersionedMap,
    sleeper: Mutex<Option<(std::sync::mpsc::Sender<()>, std::thread::JoinHandle<()>)>>,
}

impl Plugin for Loner {
    fn describe() -> Description {
        let mut about = Description::new("loner", "0.1.0", "does everything by itself");
        about.capabilities = Capabilities::READ_VIEW | Capabilities::DURABLE;
        about
    }

    fn open(_: OpenRequest) -> Result<Self> {
        // What it wrote elsewhere would still be there; here it simply never closes.
        let (wake, sleep) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let _ = sleep.recv();
        });
        Ok(Self { map: VersionedMap::new(), sleeper: Mutex::new(Some((wake, thread))) })
    }
}

impl Drop for Loner {
    fn drop(&mut self) {
        if let Some((wake, thread)) = self.sleeper.lock().unwrap().take() {
            drop(wake);
            thread.join().unwrap();
        }
    }
}

impl StorageEngine for Loner {
    fn apply(&self, batch: Batch<'_>) -> Result<()> {
        self.map.stage(batch).publish();
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
fn strangers_run_unchanged_and_are_told_what_cannot_be_seen() {
    let tally = Subject::load(&stranger("tally"), &[]).unwrap();
    for seed in 0..20 {
        let remarks = watch(&tally, seed).unwrap_or_else(|complaint| panic!("seed {seed}: {complaint}"));
        let nothing_else =
            Remarks { keeps_nothing: true, threads: 0, wrote_elsewhere: false, is_unrepeatable: false };
        assert_eq!(remarks, nothing_else, "seed {seed}");
        assert!(remarks.to_string().contains("not judged"));
    }
    let logmap = Subject::load(&own_engine("logmap"), &scripts::SMALL).unwrap();
    let snapshot = Subject::load(&own_engine("snapshot"), &[]).unwrap();
    for (seed, subject) in (0..6).flat_map(|seed| [(seed, &logmap), (seed, &snapshot)]) {
        let remarks = watch(subject, seed).unwrap_or_else(|complaint| panic!("seed {seed}: {complaint}"));
        assert!(remarks.can_be_judged(), "{}, seed {seed}: {remarks}", subject.name());
    }
    let loner = Subject::in_process::<Loner>(&[]).unwrap();
    // A seed whose life has no reopening, for this engine would forget.
    let remarks = (0..200).find_map(|seed| watch(&loner, seed).ok()).unwrap();
    assert!(remarks.threads == 1 && remarks.wrote_elsewhere && !remarks.can_be_judged(), "{remarks:?}");
    for told in ["threads of its own", "without any call to its environment"] {
        assert!(remarks.to_string().contains(told), "{remarks}");
    }
}
