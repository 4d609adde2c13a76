//! The memory engine: everything but what it says itself that it does not keep.

mod expected;

#[test]
fn memory_earns_semantics_and_views_and_offers_nothing_durable() {
    expected::certificate("memory", &[], "L0 L4", "");
}
