//! A host that is full, or not friendly: real file systems, real user ids, real processes.

mod full_disk;
mod held_frames;
mod readers;
mod table;
