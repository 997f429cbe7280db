//! What a plan writes down before anything of it is tried: new records, and a line of the journal for each intent.

use crate::model::desired::Write;
use crate::model::instance::Instance;
use crate::model::journal::{Draft, What};
use crate::plan::reconcile::Plan;
use crate::plan::slot::Step;
use crate::plan::surplus::Removal;

/// The durable changes of a plan, one transaction.
pub fn of(plan: &Plan) -> Vec<Write> {
    let mut writes = Vec::new();
    for (instance, sentence) in &plan.updates {
        let line =
            sentence.as_ref().map(|text| about(Draft::engine(What::Observed, text.as_str()), instance));
        writes.extend(line.map(Write::Journal));
        writes.push(Write::PutInstance(instance.clone()));
    }
    writes.extend(plan.forgotten.iter().map(|(pool, slot)| Write::DropInstance(pool.clone(), *slot)));
    for id in &plan.gone {
        writes.push(Write::Journal(Draft::engine(What::Observed, format!("{id} is gone")).pool(id)));
        writes.push(Write::DropPool(id.clone()));
    }
    for step in &plan.steps {
        if let Step::Create { instance, why } = step {
            writes.push(Write::PutInstance(instance.clone()));
            writes.push(Write::Journal(making(instance, why)));
        }
    }
    writes.extend(plan.removals.iter().map(|removal| Write::Journal(removing(removal))));
    writes
}

fn about(line: Draft, instance: &Instance) -> Draft {
    line.slot(&instance.pool, instance.slot).host(&instance.host)
}

fn making(instance: &Instance, why: &str) -> Draft {
    let Instance { pool, slot, generation, host, .. } = instance;
    let text = format!("make {pool}.{slot} g{generation} on {host}: {why}");
    about(Draft::engine(What::Intent, text), instance).op(instance.op)
}

fn removing(removal: &Removal) -> Draft {
    let Removal { host, pool, tag, why, .. } = removal;
    let text = format!("remove {tag} g{} from {host}: {why}", tag.generation);
    Draft::engine(What::Intent, text).slot(pool, tag.slot).host(host)
}
