//! What Harbor says of itself, its room, and the quotas of all projects.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::adapters::harbor::http::{Call, Limits};
use crate::adapters::harbor::wire::estate::{InfoBody, QuotaRowBody, VolumesBody};
use crate::adapters::harbor::{Harbor, KIB, MIB, limits, paging};
use crate::base::fault::Outcome;
use crate::model::harbor::{HarborFacts, ProjectQuota, Space};
use crate::ports::registry_admin::Estate;

/// A few settings.
const ABOUT: Limits = limits("ask what it is", 20, 256 * KIB);
/// Harbor asks the file system.
const SPACE: Limits = limits("ask for its room", 20, 256 * KIB);
/// A hundred short rows.
const QUOTAS: Limits = limits("list quotas", 30, 4 * MIB);

impl Estate for Harbor {
    fn about(&self) -> BoxFuture<'_, Outcome<HarborFacts>> {
        async {
            let call = Call::get(ABOUT, "/api/v2.0/systeminfo");
            Ok(self.object::<InfoBody>(&call).await?.noun())
        }
        .boxed()
    }

    fn space(&self) -> BoxFuture<'_, Outcome<Option<Space>>> {
        async {
            let call = Call::get(SPACE, "/api/v2.0/systeminfo/volumes");
            Ok(self.object::<VolumesBody>(&call).await?.noun())
        }
        .boxed()
    }

    fn quotas(&self) -> BoxFuture<'_, Outcome<Vec<ProjectQuota>>> {
        async {
            let list = Call::get(QUOTAS, "/api/v2.0/quotas").with("reference", "project");
            paging::all::<QuotaRowBody>(&self.http, &list).await
        }
        .boxed()
    }
}
