//! Damage that the input describes, with checksums made to fit if it says so: else the fuzzer would never get
//! behind the first checksum.
//!
//! ```text
//! input    [patch]…                     until the bytes end
//! patch    [file u8][what u8][offset u16][count u8][count bytes]
//! what     bit 0: seal all checksums at the end · bits 1-2: 0, 1 overwrite, 2 cut the file there, 3 copy
//! ```

use std::collections::HashMap;

const BLOCK: usize = 4096;
const GROUP_HEADER: usize = 56;
const FRAME: usize = 24;
const DUMP_HEAD: usize = 17;
const DUMP_FRAME: usize = 20;

/// Damages the files as the input says.
pub fn damage(files: &mut [(String, Vec<u8>)], mut input: &[u8]) {
    let mut sealed = false;
    while let Some((head, rest)) = input.split_first_chunk::<5>() {
        let (bytes, rest) = rest.split_at(rest.len().min(usize::from(head[4])));
        input = rest;
        sealed |= head[1] & 1 == 1;
        let count = files.len();
        let (_, file) = &mut files[usize::from(head[0]) % count];
        if file.is_empty() {
            continue;
        }
        let at = usize::from(u16::from_le_bytes([head[2], head[3]])) % file.len();
        match (head[1] >> 1) & 3 {
            2 => file.truncate(at),
            // A block in the place of another.
            3 => {
                let from = usize::from(head[4]) % file.len().div_ceil(BLOCK) * BLOCK;
                let end = (from + BLOCK).min(file.len());
                let to = (at / BLOCK * BLOCK).min(file.len() - (end - from));
                file.copy_within(from..end, to);
            }
            _ => {
                let end = (at + bytes.len()).min(file.len());
                file[at..end].copy_from_slice(&bytes[..end - at]);
            }
        }
    }
    if sealed {
        seal(files);
    }
}

/// Makes the checksums of segments, groups, records, checkpoints, files of values, pages, dumps and RDB files fit, and the
/// chain of the groups.
fn seal(files: &mut [(String, Vec<u8>)]) {
    let mut renewed = HashMap::new();
    for (name, file) in files {
        if name.starts_with("log-") && file.len() >= BLOCK {
            let check = checksum(0, &file[..60]);
            file[60..64].copy_from_slice(&check.to_le_bytes());
            let seed = [16, 24, 32].iter().fold(0, |seed, at| checksum(seed, &file[*at..at + 8]));
            for at in (BLOCK..file.len()).step_by(BLOCK) {
                seal_group(&mut file[at..], seed, &mut renewed);
            }
        } else if name.starts_with("checkpoint-") {
            seal_checkpoint(file);
        } else if name.starts_with("values-") && file.len() >= 16 {
            let check = checksum(0, &file[8..16]);
            file[4..8].copy_from_slice(&check.to_le_bytes());
        } else if name == "page" && file.len() >= 64 {
            let check = checksum(0, &file[4..]);
            file[..4].copy_from_slice(&check.to_le_bytes());
        } else if name == "dump" {
            seal_dump(file);
        } else if name == "rdb" && file.len() >= 8 {
            // Zeros stand for no checksum.
            let end = file.len() - 8;
            file[end..].fill(0);
        }
    }
}

fn seal_group(group: &mut [u8], seed: u32, renewed: &mut HashMap<u32, u32>) {
    if group.len() < GROUP_HEADER || group[8..10] != 0x4757_u16.to_le_bytes() {
        return;
    }
    if let Some(previous) = renewed.get(&half(group, 48)) {
        group[48..52].copy_from_slice(&previous.to_le_bytes());
    }
    let check = checksum(seed, &group[4..52]);
    group[52..56].copy_from_slice(&check.to_le_bytes());
    let Some(body) = group.get_mut(..half(group, 4) as usize).filter(|body| body.len() >= GROUP_HEADER)
    else {
        return;
    };
    let mut at = GROUP_HEADER;
    while at + 4 <= body.len() {
        let end = at + 4 + half(body, at) as usize;
        let Some(record) = body.get_mut(at + 4..end) else { break };
        seal_mutations(record);
        at = end;
    }
    let (old, new) = (half(body, 0), checksum(check, &body[56..]));
    body[..4].copy_from_slice(&new.to_le_bytes());
    renewed.insert(old, new);
}

fn seal_mutations(mut record: &mut [u8]) {
    while record.len() >= 17 {
        let total = half(record, 0) as usize;
        if total < 17 || total > record.len() {
            return;
        }
        let (one, rest) = record.split_at_mut(total);
        let check = checksum(0, &one[..total - 4]);
        one[total - 4..].copy_from_slice(&check.to_le_bytes());
        record = rest;
    }
}

fn seal_checkpoint(file: &mut [u8]) {
    let mut at = 0;
    while at + BLOCK <= file.len() {
        let (before, block) = file.split_at_mut(at);
        let end = FRAME + half(block, 12) as usize;
        if block[..4] != *b"LMC1" || end > block.len() {
            at += BLOCK;
            continue;
        }
        if half(block, 8) == 3 && end >= FRAME + 12 {
            block[FRAME + 8..FRAME + 12].copy_from_slice(&checksum(0, before).to_le_bytes());
        }
        let check = checksum(0, &block[8..end]);
        block[4..8].copy_from_slice(&check.to_le_bytes());
        at += end.next_multiple_of(BLOCK);
    }
}

/// Makes the checksum of each block fit, and what it says of its place; lengths stay as they are.
fn seal_dump(dump: &mut [u8]) {
    let mut at = DUMP_HEAD;
    while at + DUMP_FRAME <= dump.len() {
        let length = (half(dump, at + 8) as usize).min(dump.len() - at - DUMP_FRAME);
        let block = &mut dump[at..at + DUMP_FRAME + length];
        block[12..20].copy_from_slice(&(at as u64).to_le_bytes());
        let check = checksum(0, &block[4..]);
        block[..4].copy_from_slice(&check.to_le_bytes());
        at += DUMP_FRAME + length;
    }
}

fn half(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn checksum(seed: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(bytes);
    hasher.finalize()
}
