//! The tasks of the replicator: all of them end with it.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinSet;

/// Where tasks are begun. Cheap to clone.
#[derive(Clone, Default)]
pub struct Tasks(Arc<Mutex<Option<JoinSet<()>>>>);

impl Tasks {
    /// No tasks yet.
    pub fn new() -> Tasks {
        Tasks(Arc::new(Mutex::new(Some(JoinSet::new()))))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Option<JoinSet<()>>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Begins a task; nothing after the end.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.with(|set| {
            if let Some(set) = set {
                while set.try_join_next().is_some() {}
                set.spawn(task);
            }
        });
    }

    /// Ends all of them, wherever they are.
    pub fn abort(&self) {
        // Dropped outside of the lock: what the tasks hold may want to look at it.
        let set = self.with(Option::take);
        drop(set);
    }

    /// Ends all of them and waits until they have.
    pub async fn end(&self) {
        if let Some(mut set) = self.with(Option::take) {
            set.shutdown().await;
        }
    }
}
