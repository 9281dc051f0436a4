//! What the two corridors share of reconciliation: the book is read and written in the background.

use std::sync::Arc;

use super::House;
use crate::clock::Now;
use crate::domain::Region;
use crate::envelope::digest;
use crate::ledger::{Leaf, LeafHash, LeafKind, Ledger, RecordFault};
use crate::reconcile::{Book, BookFault, Own, Verdict, Window};
use crate::telemetry::CourierLabels;

impl House {
    /// Does `work` with the book, below the threads that serve.
    pub async fn book<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Book, &Ledger) -> Result<T, BookFault> + Send + 'static,
    ) -> Result<T, BookFault> {
        let (book, ledger) = (Arc::clone(&self.windows), self.ledger.clone());
        self.background.run(move || work(&book, &ledger)).await.map_err(|_| BookFault::Interrupted)?
    }

    /// Our side of a window as the leaves say it now.
    pub async fn own_window(&self, peer: Region, window: Window) -> Result<Own, BookFault> {
        let _place = self.windows.place().await;
        self.book(move |book, ledger| {
            book.follow(ledger)?;
            book.own(ledger, peer, window)
        })
        .await
    }

    /// The partner has something else: to be looked into.
    pub async fn windows_opened(&self, peer: Region, mine: Verdict, now: Now) -> Result<(), BookFault> {
        self.book(move |book, _| book.opened(peer, &mine, now)).await
    }

    /// Have both signed this already?
    pub async fn windows_signed(
        &self,
        peer: Region,
        window: Window,
        root: [u8; 32],
    ) -> Result<bool, BookFault> {
        self.book(move |book, _| book.is_agreed(peer, window, &root)).await
    }

    /// The `recon` leaf, then the book: `None` when the ledger does not take the leaf.
    pub async fn window_agreed(
        &self,
        peer: Region,
        verdict: Verdict,
        note: &[u8],
        now: Now,
    ) -> Result<(), Option<BookFault>> {
        let root = verdict.root;
        if !self.windows_signed(peer, verdict.window, root).await.map_err(Some)? {
            self.record_window(peer, "agreed", verdict.count, note).await.map_err(|_| None)?;
        }
        self.count_window(peer, "agreed");
        let note = note.to_vec();
        self.book(move |book, _| book.agreed(peer, &verdict, &note, now)).await.map_err(Some)
    }

    /// `code` is `agreed`, of a note, or `differs`, of our own unsigned statement.
    pub async fn record_window(
        &self,
        peer: Region,
        code: &str,
        count: u64,
        said: &[u8],
    ) -> Result<(), RecordFault> {
        let leaf = Leaf {
            peer: Some(peer.to_string()),
            code: Some(code.to_owned()),
            n: Some(count),
            rd: Some(LeafHash(digest(said))),
            ..Leaf::new(LeafKind::Recon)
        };
        self.ledger.record(leaf.into()).await.map(drop)
    }

    /// What became of a comparison: `agreed`, `differs`, `asked` (the partner has something
    /// else), `failed`.
    pub fn count_window(&self, peer: Region, outcome: &'static str) {
        let labels = CourierLabels { partner: peer.to_string(), outcome };
        self.metrics.windows.get_or_create(&labels).inc();
    }
}
