//! What is known of a container, under the names that every record of it carries where names are flat.

use crate::model::Container;

/// Shows each name and value that is known. Its labels are not among them: there can be many, and those that are wanted are
/// labels of the stream.
pub(super) fn fields(container: &Container, mut show: impl FnMut(&'static str, &str)) {
    let restarts = container.restart_count.map(|count| count.to_string());
    let pairs = [
        ("auditship_namespace", container.namespace.as_deref()),
        ("auditship_pod", container.pod.as_deref()),
        ("auditship_pod_uid", container.pod_uid.as_deref()),
        ("auditship_container", container.name.as_deref()),
        ("auditship_restart_count", restarts.as_deref()),
        ("auditship_container_id", container.id.as_deref()),
    ];
    pairs.into_iter().filter_map(|(name, value)| Some((name, value?))).for_each(|(name, value)| show(name, value));
}
