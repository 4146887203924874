//! Hub and cache, and what is fetched from one into the other.

use std::path::PathBuf;

use super::cache::{self, RepoCache, variable};
use super::choice::Choice;
use super::client::{self, Client, Listing, RemoteFile};
use super::download::Download;
use super::error::HubError;
use super::name::HubName;
use crate::error::Result;
use crate::monitor::{Monitor, Unit};

/// Hub of `huggingface.co`, or of another server that speaks its protocol, and the cache.
#[derive(Debug)]
pub struct Hub {
    client: Client,
    /// Folder of the cache: `~/.cache/huggingface/hub`.
    folder: PathBuf,
    offline: bool,
}

impl Hub {
    /// Hub as other tools find it by environment variables: `HF_ENDPOINT`, `HF_TOKEN`, `HF_TOKEN_PATH`, `HF_HUB_CACHE`, `HF_HOME`,
    /// `XDG_CACHE_HOME`, `HF_HUB_OFFLINE`. Source: huggingface_hub, `constants.py`.
    ///
    /// # Errors
    /// When no folder for the cache is known.
    pub fn from_env() -> Result<Self> {
        let home = cache::home();
        let folder = ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"].into_iter().find_map(variable).map(PathBuf::from);
        let folder = folder.or_else(|| Some(home.as_ref()?.join("hub"))).ok_or(HubError::NoHome)?;
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| client::ENDPOINT.into());
        let token_file = variable("HF_TOKEN_PATH").map(PathBuf::from).or_else(|| Some(home?.join("token")));
        let of_file = || std::fs::read_to_string(token_file?).ok();
        let token = variable("HF_TOKEN").or_else(of_file).map(|token| token.trim().to_owned());
        let is_true = |value: String| ["1", "ON", "YES", "TRUE"].contains(&value.to_uppercase().as_str());
        let offline = variable("HF_HUB_OFFLINE").is_some_and(is_true);
        let client = Client::new(&endpoint, token.filter(|token| !token.is_empty()))?;
        Ok(Self { client, folder, offline })
    }

    /// Path of the model in the cache; fetched if the cache lacks it or has an older one. Of a split file, all parts are fetched and
    /// the path is that of the first.
    ///
    /// # Errors
    /// [`HubError`] when the repository, the file or the network is not there, and when the file cannot be written.
    pub fn fetch(&self, name: &HubName, monitor: &Monitor) -> Result<PathBuf> {
        let cache = RepoCache::new(&self.folder, name.repo());
        let failed = match self.listing(name) {
            Ok(listing) => return self.fetch_listed(name, &listing, &cache, monitor),
            Err(failed) => failed,
        };
        let files = cache.files();
        let cached = Choice::new(name, &files).ok().and_then(|choice| cache.present(&choice.files));
        match cached {
            Some(path) => {
                monitor.note(format_args!("{failed}: the copy in the cache is used, {}", path.display()));
                Ok(path)
            }
            None => Err(failed.into()),
        }
    }

    fn listing(&self, name: &HubName) -> Result<Listing, HubError> {
        if self.offline {
            return Err(HubError::Offline);
        }
        self.client.listing(name.repo())
    }

    fn fetch_listed(&self, name: &HubName, listing: &Listing, cache: &RepoCache, monitor: &Monitor) -> Result<PathBuf> {
        let names: Vec<String> = listing.files.iter().map(|file| file.name.clone()).collect();
        let choice = Choice::new(name, &names).map_err(|problem| problem.with_sizes(listing))?;
        if choice.is_a_guess {
            monitor.note(format_args!("{}: the file {} of several", name.repo(), choice.files[0]));
        }
        if let Some(path) = cache.present_at(&listing.commit, &choice.files) {
            cache.point_main_to(&listing.commit)?;
            return Ok(path);
        }
        let remote = choice.files.iter().map(|file| self.client.file(name.repo(), &listing.commit, file));
        let remote: Vec<RemoteFile> = remote.collect::<Result<_, _>>()?;
        cache.make_folders()?;
        let commit = &*listing.commit;
        let missing = remote.iter().filter(|file| !cache.has(commit, file)).map(|file| file.size - cache.n_begun(file));
        cache.check_room(sum(missing))?;
        let mut progress = monitor.begin("fetching", Unit::Bytes, sum(remote.iter().map(|file| file.size)));
        let mut before = 0;
        for file in &remote {
            let mut reached = |done: u64| progress.reached(sum([before, done]));
            Download { client: &self.client, cache, commit, file, monitor }.run(&mut reached)?;
            before = sum([before, file.size]);
        }
        drop(progress);
        cache.point_main_to(&listing.commit)?;
        let path = cache.present_at(&listing.commit, &choice.files).ok_or(HubError::Vanished)?;
        monitor.note(format_args!("fetched {}", path.display()));
        Ok(path)
    }
}

/// Sum of sizes that a server names: the greatest number if they overflow.
fn sum(sizes: impl IntoIterator<Item = u64>) -> u64 {
    sizes.into_iter().fold(0, u64::saturating_add)
}
