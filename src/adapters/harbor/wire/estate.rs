//! Harbor's JSON about itself: `GeneralInfo`, `SystemInfo` and `Quota` of its API description.

use serde::Deserialize;

use crate::adapters::harbor::wire::{Read, StorageBody, Text, number, some, storage};
use crate::model::harbor::{HarborFacts, ProjectQuota, Quota, Space};

#[derive(Deserialize)]
pub(in crate::adapters::harbor) struct InfoBody {
    harbor_version: Text,
    registry_storage_provider_name: Text,
    read_only: Option<bool>,
}

impl InfoBody {
    pub(in crate::adapters::harbor) fn noun(self) -> HarborFacts {
        HarborFacts {
            version: some(self.harbor_version),
            storage: some(self.registry_storage_provider_name),
            read_only: self.read_only,
        }
    }
}

#[derive(Deserialize)]
pub(in crate::adapters::harbor) struct VolumesBody {
    storage: Option<Vec<VolumeBody>>,
}

#[derive(Deserialize)]
struct VolumeBody {
    total: Option<u64>,
    free: Option<u64>,
}

impl VolumesBody {
    /// The first volume is the one of the content. A size of nothing is what Harbor says where it cannot tell.
    pub(in crate::adapters::harbor) fn noun(self) -> Option<Space> {
        let one = self.storage?.into_iter().next()?;
        let total = one.total.filter(|total| *total > 0)?;
        Some(Space { total, free: one.free.unwrap_or(0).min(total) })
    }
}

#[derive(Deserialize)]
pub(in crate::adapters::harbor) struct QuotaRowBody {
    id: i64,
    #[serde(rename = "ref")]
    of: Option<OfBody>,
    hard: Option<StorageBody>,
    used: Option<StorageBody>,
}

#[derive(Deserialize)]
struct OfBody {
    name: Text,
}

impl Read for QuotaRowBody {
    type Noun = ProjectQuota;
    fn id(&self) -> i64 {
        self.id
    }
    fn read(self) -> ProjectQuota {
        let limit = storage(self.hard).and_then(|hard| u64::try_from(hard).ok());
        ProjectQuota {
            project: self.of.and_then(|of| some(of.name)),
            quota: Quota { used: number(storage(self.used)), limit },
        }
    }
}
