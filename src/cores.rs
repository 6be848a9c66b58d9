//! Work spread over the machine's cores.

use std::sync::{Arc, LazyLock};

use tokio::task::JoinError;

/// Cores this process may use. The answer is kept: asking reads the files of the control groups.
static CORES: LazyLock<usize> =
    LazyLock::new(|| std::thread::available_parallelism().map_or(1, usize::from));

/// Cores this process may use.
#[must_use]
pub fn count() -> usize {
    *CORES
}

/// Does the same to each item, on all cores, and gives what came of them in their order. A single item is not worth
/// a hand-over: it is done at once.
///
/// # Errors
/// `work` panicked.
pub async fn each<T, R>(
    items: Vec<T>,
    work: impl Fn(T) -> R + Send + Sync + 'static,
) -> Result<Vec<R>, JoinError>
where
    T: Send + 'static,
    R: Send + 'static,
{
    let share = items.len().div_ceil(count()).max(1);
    let work = Arc::new(work);
    let mut items = items.into_iter();
    if items.len() == 1 {
        return Ok(items.map(|item| work(item)).collect());
    }
    let mut parts = Vec::new();
    while items.len() > 0 {
        let (part, work) = (items.by_ref().take(share).collect::<Vec<T>>(), work.clone());
        parts.push(tokio::task::spawn_blocking(move || -> Vec<R> {
            part.into_iter().map(|item| work(item)).collect()
        }));
    }
    let mut done = Vec::new();
    for part in parts {
        done.extend(part.await?);
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn what_comes_of_each_is_in_their_order() {
        for many in [0, 1, 2, 3, 7, 100] {
            let doubled = super::each((0..many).collect(), |number| 2 * number).await.unwrap();
            assert_eq!(doubled, (0..many).map(|number| 2 * number).collect::<Vec<i32>>());
        }
    }
}
