//! A volume as the kubelet mounts it: all its files change at once, by the swap of one symbolic link.
//!
//! Source: `AtomicWriter` in kubernetes/pkg/volume/util. A file `NAME` is a link to `..data/NAME`, and `..data` a link to a folder
//! that is written whole before the link is moved to it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A mounted ConfigMap, Secret or projection of several.
#[derive(Debug)]
pub struct Volume {
    path: PathBuf,
    generation: AtomicU32,
}

impl Volume {
    /// An empty volume at `path`.
    ///
    /// # Panics
    /// When the folder cannot be made.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        fs::create_dir_all(&path).unwrap();
        Self {
            path,
            generation: AtomicU32::new(0),
        }
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts these files in the place of those that are there: paths below the mount, and what stands in them.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn publish<'a>(&self, files: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let generation = self.generation.fetch_add(1, Ordering::Relaxed);
        let new = format!("..generation_{generation}");
        let old = fs::read_link(self.path.join("..data")).ok();
        let mut tops = BTreeSet::new();
        for (name, text) in files {
            let path = self.path.join(&new).join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
            tops.insert(name.split('/').next().unwrap().to_owned());
        }
        fs::create_dir_all(self.path.join(&new)).unwrap();
        symlink(&new, self.path.join("..data_tmp")).unwrap();
        fs::rename(self.path.join("..data_tmp"), self.path.join("..data")).unwrap();
        for top in &tops {
            let link = self.path.join(top);
            if fs::symlink_metadata(&link).is_err() {
                symlink(Path::new("..data").join(top), link).unwrap();
            }
        }
        for entry in fs::read_dir(&self.path).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            if !name.starts_with("..") && !tops.contains(&name) {
                fs::remove_file(entry.path()).unwrap();
            }
        }
        if let Some(old) = old {
            fs::remove_dir_all(self.path.join(old)).unwrap();
        }
    }
}
