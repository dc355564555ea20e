//! The recorded disk's open files: every change goes through the record, every read is counted. They
//! live on when their names are gone, and know that they are.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;

use super::disk::{FileChange, Id};
use super::{Fault, Operation, RecordingIo, Shared};
use crate::health::of_open_file;
use crate::io::{FileIdentity, FileState, IoFile, IoSlice, MappedFile};

impl RecordingIo {
    /// Has something else happen just before the next read of an open file.
    pub fn before_next_read(&self, happens: impl FnOnce() + Send + 'static) {
        self.shared.lock().next_read = Some(Box::new(happens));
    }

    /// Has something else happen just before the next write to an open file.
    pub fn before_next_write(&self, happens: impl FnOnce() + Send + 'static) {
        self.shared.lock().next_write = Some(Box::new(happens));
    }

    /// Lets go of what is cached when it is asked to: then what a failed sync has not written is seen to be lost.
    pub fn let_cache_be_dropped(&self) {
        self.shared.lock().cache_can_be_dropped = true;
    }
}

/// An open file of the recorded disk.
pub(super) struct RecordingFile {
    pub(super) shared: Arc<Shared>,
    pub(super) path: PathBuf,
    pub(super) id: Id,
}

impl Drop for RecordingFile {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if let Some(times) = state.open_files.get_mut(&self.path) {
            *times -= 1;
        }
    }
}

struct MappedCopy(Vec<u8>);

impl MappedFile for MappedCopy {
    fn read_exact_at(&self, buffer: &mut [u8], position: usize) -> Option<()> {
        let bytes = self.0.get(position..)?.get(..buffer.len())?;
        buffer.copy_from_slice(bytes);
        Some(())
    }
}

impl IoFile for RecordingFile {
    fn state(&self) -> io::Result<FileState> {
        let state = self.shared.lock();
        state.alive()?;
        let is_here = state.disk.find(&self.path).is_ok_and(|id| id == self.id);
        let file = state.disk.file(self.id)?;
        Ok(FileState {
            len: file.data.len() as u64,
            is_linked: is_here || state.disk.is_linked(self.id),
            stamp: file.changes,
        })
    }

    fn identify(&self) -> io::Result<(FileIdentity, FileState)> {
        let identity = FileIdentity {
            device: 0,
            number: self.id,
            made: None,
        };
        Ok((identity, self.state()?))
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let before = self.shared.lock().next_read.take();
        before.into_iter().for_each(|happens| happens());
        let mut state = self.shared.lock();
        state.alive()?;
        if let Some(number) = state.failing_reads {
            return Err(io::Error::from_raw_os_error(number));
        }
        let data = &state.disk.file(self.id)?.data;
        let start = usize::try_from(position)
            .unwrap_or(usize::MAX)
            .min(data.len());
        let count = buffer.len().min(data.len() - start);
        buffer[..count].copy_from_slice(&data[start..start + count]);
        *state.bytes_read.entry(self.path.clone()).or_default() += count as u64;
        Ok(count)
    }

    fn write_vectored_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        let mut bytes = Vec::new();
        for slice in slices {
            bytes.extend_from_slice(slice);
        }
        let before = self.shared.lock().next_write.take();
        before.into_iter().for_each(|happens| happens());
        let mut state = self.shared.lock();
        let fault = state.change(Operation::Write {
            path: self.path.clone(),
            position,
            len: bytes.len(),
        })?;
        let position = usize::try_from(position).map_err(|_| io::ErrorKind::FileTooLarge)?;
        state.note_write(self.id, position, &bytes);
        let old_len = state.disk.file(self.id)?.data.len();
        let extension = (position + bytes.len()).saturating_sub(old_len);
        let mut count = state.room(bytes.len(), extension);
        if count == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        match fault {
            Some(Fault::Error(number)) => return Err(io::Error::from_raw_os_error(number)),
            Some(Fault::Short(most) | Fault::Killed(most)) => count = count.min(most),
            None => {}
        }
        if count > 0 {
            state.disk.file_mut(self.id)?.change(FileChange::Write {
                position,
                bytes: bytes[..count].to_vec(),
            });
        }
        state.alive()?;
        Ok(count)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.shared.lock();
        while state.holds_sync(&self.path) {
            state.syncs_waiting += 1;
            self.shared.syncs_open.notify_all();
            state = self.shared.wait(state);
            state.syncs_waiting -= 1;
        }
        let done = state.change_whole(Operation::SyncData {
            path: self.path.clone(),
        });
        let killed = state.dead;
        let file = state.disk.file_mut(self.id)?;
        match done {
            Ok(()) => file.sync(),
            // The page cache takes the pages for clean now: no later sync writes them.
            Err(_) if !killed => file.pending.clear(),
            Err(_) => {}
        }
        done.map_err(of_open_file)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.shared.lock();
        state.change_whole(Operation::SetLen {
            path: self.path.clone(),
            len,
        })?;
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        state
            .disk
            .file_mut(self.id)?
            .change(FileChange::SetLen(len));
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let wanted = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let state = self.shared.lock();
        let more = wanted.saturating_sub(state.disk.file(self.id)?.data.len());
        if state.room(more, more) < more {
            return Err(io::ErrorKind::StorageFull.into());
        }
        drop(state);
        self.set_len(len)
    }

    fn send_to(&self, socket: BorrowedFd<'_>, position: u64, max: usize) -> io::Result<usize> {
        let mut buffer = vec![0; max];
        let count = self.read_at(&mut buffer, position)?;
        Ok(rustix::io::write(socket, &buffer[..count])?)
    }

    fn is_cached(&self, _position: u64, _len: u64) -> io::Result<bool> {
        Ok(true)
    }

    fn drop_cached(&self, position: u64, len: u64) {
        let mut state = self.shared.lock();
        let is_asked = state.cache_can_be_dropped;
        let Some(file) = state.disk.file_mut(self.id).ok().filter(|_| is_asked) else {
            return;
        };
        let at = |bound: u64| usize::try_from(bound).unwrap_or(usize::MAX);
        let range = at(position)..at(position.saturating_add(len)).min(file.data.len());
        // What is dirty stays.
        if let Some(cached) = file.data.get_mut(range.clone())
            && file.pending.is_empty()
        {
            let on_disk = file.durable.iter().copied().chain(std::iter::repeat(0));
            for (byte, found) in cached.iter_mut().zip(on_disk.skip(range.start)) {
                *byte = found;
            }
        }
    }

    fn map(&self) -> io::Result<Box<dyn MappedFile>> {
        let state = self.shared.lock();
        state.alive()?;
        Ok(Box::new(MappedCopy(state.disk.file(self.id)?.data.clone())))
    }
}
