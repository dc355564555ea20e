//! The partition actor from the outside of its handle, on a real directory.
