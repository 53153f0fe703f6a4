"""The registry of one process. Series of a deleted resource are removed."""

from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from locktender.api.conditions import Reason
from locktender.api.spec import Spec
from locktender.api.status import Outcome, Run, Status, Step, StepState, moment
from locktender.core import passage
from locktender.core.observation import Observation
from locktender.core.steps.backup import NAME as BACKUP
from locktender.telemetry.locks import LockSeries
from locktender.telemetry.metric import Kind, Metric
from locktender.telemetry.table import METRICS, RESOURCE


class Metrics:
    """The registry of one process, with one method for each thing that is worth counting."""

    def __init__(self, table: tuple[Metric, ...] = METRICS) -> None:
        self.registry = CollectorRegistry()
        self._gauges: dict[str, Gauge] = {}
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        for metric in table:
            match metric.kind:
                case Kind.GAUGE:
                    self._gauges[metric.name] = Gauge(metric.name, metric.help, metric.labels, registry=self.registry)
                case Kind.COUNTER:
                    self._counters[metric.name] = Counter(
                        metric.name, metric.help, metric.labels, registry=self.registry
                    )
                case Kind.HISTOGRAM:
                    self._histograms[metric.name] = Histogram(
                        metric.name, metric.help, metric.labels, registry=self.registry, buckets=metric.buckets
                    )
        if "locktender_gate_installed" in self._gauges:
            self.gauge("locktender_gate_installed").set(-1)  # until this replica looks
        if "locktender_runs" in self._counters:
            for outcome in Outcome:  # from 0, or Prometheus would not see the first one as an increase
                self._counters["locktender_runs"].labels(outcome)
        self._shown: dict[tuple[str, tuple[str, str]], tuple[str, ...]] = {}

    def gauge(self, name: str) -> Gauge:
        """A gauge of the table."""
        return self._gauges[name]

    def api_call(self, method: str, code: str, seconds: float) -> None:
        """One call to the API server."""
        self._histograms["locktender_api_request_duration_seconds"].labels(method, code).observe(seconds)

    def hold_answered(self, outcome: str, seconds: float) -> None:
        """One request at the webhook."""
        self._histograms["locktender_webhook_request_duration_seconds"].labels(outcome).observe(seconds)

    def certificate_loaded(self, expiry: datetime) -> None:
        """The webhook serves with another certificate."""
        self._gauges["locktender_webhook_certificate_expiry_timestamp_seconds"].set(expiry.timestamp())

    def waited(self, seconds: float) -> None:
        """The time a key spent in the queue."""
        self._histograms["locktender_queue_latency_seconds"].observe(seconds)

    def reconciled(self, seconds: float) -> None:
        """The time of one pass."""
        self._histograms["locktender_reconcile_duration_seconds"].observe(seconds)

    def failed(self, kind: str) -> None:
        """A pass ended in an error."""
        self._counters["locktender_reconcile_errors"].labels(kind).inc()

    def released(self) -> None:
        """A Deployment was let through."""
        self._counters["locktender_releases"].inc()

    def status_stored(self, observation: Observation, status: Status) -> None:
        """Durations and outcomes of what ended with this status. Called once for each status that was really written."""
        before = (
            {(step.name, step.attempt, step.state) for step in observation.status.run.steps}
            if observation.status.run
            else set()
        )
        run = status.run
        for step in run.steps if run else ():
            ended = step.state in (StepState.SUCCEEDED, StepState.FAILED, StepState.UNKNOWN)
            if ended and (step.name, step.attempt, step.state) not in before:
                self._step_ended(step)
        known = {(entry.id, entry.end_time) for entry in observation.status.history}
        for entry in status.history:
            if (entry.id, entry.end_time) not in known:
                seconds = (moment(entry.end_time) - moment(entry.start_time)).total_seconds()
                self._counters["locktender_runs"].labels(entry.outcome).inc()
                self._histograms["locktender_run_duration_seconds"].labels(entry.outcome).observe(seconds)
        self.bypassed(len(passage.bypassed_now(observation.status, status)) + len(passage.left_by_bypass(observation)))
        self._counters["locktender_gate_skips"].inc(len(passage.skipped_now(observation.status, status)))

    def restored(self, what: str) -> None:
        """One of the gate's own objects was brought back."""
        self._counters["locktender_gate_restored"].labels(what).inc()

    def bypassed(self, times: int = 1) -> None:
        """So many uses of the verb bypass are known now that were not before."""
        self._counters["locktender_gate_bypasses"].inc(times)

    def _step_ended(self, step: Step) -> None:
        if step.start_time and step.end_time:
            seconds = (moment(step.end_time) - moment(step.start_time)).total_seconds()
            self._histograms["locktender_step_duration_seconds"].labels(step.name, step.state).observe(seconds)

    def show(self, observation: Observation, status: Status) -> None:
        """The gauges of one resource."""
        labels = (observation.namespace, observation.name)
        ready, stalled = status.condition("Ready"), status.condition("Stalled")
        self._gauges["locktender_ready"].labels(*labels).set(ready is not None and ready.status == "True")
        self._gauges["locktender_stalled"].labels(*labels).set(stalled is not None)
        self._show_only("locktender_stalled_reason", labels, (_known(stalled.reason),) if stalled else None)
        held = [item for item in observation.deployments if item.held]
        self._gauges["locktender_held_deployments"].labels(*labels).set(len(held))
        self._gauges["locktender_unverified_deployments"].labels(*labels).set(len(passage.unverified(status)))
        since = min((item.held_since.timestamp() for item in held if item.held_since), default=0.0)
        self._gauges["locktender_held_since_timestamp_seconds"].labels(*labels).set(since)
        success = next((entry for entry in status.history if entry.outcome is Outcome.SUCCEEDED), None)
        if success is not None:
            ended = moment(success.end_time).timestamp()
            self._gauges["locktender_last_success_timestamp_seconds"].labels(*labels).set(ended)
        backup = status.run.step(BACKUP) if status.run else None
        if backup is not None and backup.state is StepState.SUCCEEDED and backup.end_time:
            taken = moment(backup.end_time).timestamp()
            self._gauges["locktender_last_backup_timestamp_seconds"].labels(*labels).set(taken)
        if isinstance(observation.spec, Spec):
            self._gauges["locktender_lock_budget_seconds"].labels(*labels).set(observation.spec.locks.budget)
        self._show_step(labels, status.run)

    def backup_stored(self, observation: Observation, size: int, free: int | None) -> None:
        """The size of a fresh backup, and what it left of its volume if that is known; in bytes."""
        labels = (observation.namespace, observation.name)
        self._gauges["locktender_backup_size_bytes"].labels(*labels).set(size)
        if free is not None:
            self._gauges["locktender_backup_volume_free_bytes"].labels(*labels).set(free)

    def locks(self, namespace: str, name: str) -> LockSeries:
        """The series of a migration that runs."""
        return LockSeries(self._gauges, self._counters, namespace, name)

    def _show_step(self, labels: tuple[str, str], run: Run | None) -> None:
        current = next((step for step in reversed(run.steps)), None) if run and run.active else None
        self._show_only("locktender_step", labels, (current.name, str(current.state)) if current else None)
        began = current.start_time if current else None
        named = (current.name,) if current and began else None
        self._show_only(
            "locktender_step_start_timestamp_seconds", labels, named, moment(began).timestamp() if began else 0
        )

    def _show_only(self, name: str, resource: tuple[str, str], rest: tuple[str, ...] | None, value: float = 1) -> None:
        """The one series of a resource that a gauge has at a time; none with `rest` None."""
        gauge = self._gauges[name]
        wanted = (*resource, *rest) if rest else None
        shown = self._shown.pop((name, resource), None)
        if shown is not None and shown != wanted:
            gauge.remove(*shown)
        if wanted is not None:
            gauge.labels(*wanted).set(value)
            self._shown[name, resource] = wanted

    def forget(self, namespace: str, name: str) -> None:
        """Remove the series of a deleted resource."""
        self._shown = {key: shown for key, shown in self._shown.items() if key[1] != (namespace, name)}
        for metric in METRICS:
            if metric.labels[: len(RESOURCE)] == RESOURCE:
                series = (self._gauges if metric.kind is Kind.GAUGE else self._counters)[metric.name]
                series.remove_by_labels({"namespace": namespace, "migration": name})


def _known(reason: str) -> str:
    """Reasons of the runner come out of pods; as labels they would be series without end."""
    return reason if reason in list(Reason) else "Other"
