"""The objects of the bench, each the smallest that Pod Security "restricted" accepts."""

import json
import textwrap
from pathlib import Path
from typing import Any

NAMESPACE = "locktender-bench"
GROUP = "locktender.dev"
IMAGES = ("localhost/locktender-bench/app:one", "localhost/locktender-bench/app:two")
POSTGRES = "localhost/locktender/postgres:18"
CLAIM = "backups"
EMPTY, REALISTIC = "empty", "shop"  # databases; the names of Secrets and DatabaseMigrations too
PLAIN, GATED, GATED_WITH_BACKUP, HOOKED = "plain", "gated", "gated-with-backup", "hooked"
JOB = "bare"

Manifest = dict[str, Any]


def namespace() -> Manifest:
    """Where all of it happens."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}


def pod(name: str, image: str, **more: Any) -> Manifest:
    """A pod spec of one container."""
    container = {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "resources": {"requests": {"cpu": "1m", "memory": "16Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        **more,
    }
    return {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 2,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }


def deployment(name: str, gate: str = "") -> Manifest:
    """One replica of the application; with `gate`, behind that DatabaseMigration."""
    template = {
        "metadata": {"labels": {"app": name}, "annotations": {f"{GROUP}/key": "r0"}},
        "spec": pod("app", IMAGES[0]),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {f"{GROUP}/gate": gate} if gate else {}},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template},
    }


def change(image: str, release: str) -> list[Manifest]:
    """The patch of a release, the same for every variant: another image, and a key that was never seen before."""
    return [
        {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image},
        {"op": "replace", "path": f"/spec/template/metadata/annotations/{GROUP}~1key", "value": release},
    ]


def job(name: str) -> Manifest:
    """A Job that does nothing."""
    template = {"spec": {**pod("main", IMAGES[0], command=["true"]), "restartPolicy": "Never"}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": template},
    }


def migration(name: str, *, with_backup: bool) -> Manifest:
    """A DatabaseMigration whose command does nothing."""
    skipped = {"policy": "Skip", "reason": "a bench of the gate alone"}
    return {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "DatabaseMigration",
        "metadata": {"name": name},
        "spec": {
            "database": {"urlSecretRef": {"name": name}},
            "migration": {"framework": "Command", "command": ["true"]},
            "backup": {"storage": {"pvc": {"claimName": CLAIM}}} if with_backup else skipped,
        },
    }


def secret(database: str, password: str) -> Manifest:
    """The URL of one of the databases."""
    url = f"postgresql://bench:{password}@postgres.{NAMESPACE}.svc:5432/{database}"
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": database}, "stringData": {"url": url}}


def claim() -> Manifest:
    """Where backups go."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": CLAIM},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}},
    }


def postgres(password: str) -> list[Manifest]:
    """A server with its durability settings as they come, and its Service."""
    container = {
        "env": [{"name": "POSTGRES_PASSWORD", "value": password}],
        "readinessProbe": {
            "exec": {"command": ["pg_isready", "-h", "127.0.0.1", "-U", "postgres"]},
            "periodSeconds": 1,
        },
    }
    selector = {"app": "postgres"}
    template = {"metadata": {"labels": selector}, "spec": pod("postgres", POSTGRES, **container)}
    server = {"replicas": 1, "selector": {"matchLabels": selector}, "template": template}
    service = {"selector": selector, "ports": [{"port": 5432}]}
    return [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "postgres"}, "spec": server},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "postgres"}, "spec": service},
    ]


def write_chart(folder: Path) -> None:
    """A chart whose pre-upgrade hook is the same Job that does nothing, and whose Deployment is the same application."""
    (folder / "templates").mkdir(parents=True, exist_ok=True)
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: hooked\nversion: 0.1.0\n")
    (folder / "values.yaml").write_text(f"image: {IMAGES[0]}\nrelease: r0\n")
    hook = job("hooked-migration")
    hook["metadata"]["annotations"] = {
        "helm.sh/hook": "pre-upgrade",
        "helm.sh/hook-delete-policy": "before-hook-creation",
    }
    application = deployment(HOOKED)
    template = application["spec"]["template"]
    template["spec"]["containers"][0]["image"] = "{{ .Values.image }}"
    template["metadata"]["annotations"] = {f"{GROUP}/key": "{{ .Values.release }}"}
    for name, manifest in (("hook", hook), ("deployment", application)):
        (folder / "templates" / f"{name}.yaml").write_text(json.dumps(manifest, indent=1))


# A shop after its first months: two dozen tables with keys, foreign keys and indexes, a few of them with most of the rows.
REALISTIC_SQL = textwrap.dedent("""
    CREATE TABLE customers (id bigserial PRIMARY KEY, email text UNIQUE NOT NULL, name text NOT NULL, address jsonb, created_at timestamptz DEFAULT now());
    CREATE TABLE products (id bigserial PRIMARY KEY, sku text UNIQUE NOT NULL, title text NOT NULL, description text, price numeric(10, 2) NOT NULL);
    CREATE TABLE orders (id bigserial PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers, state text NOT NULL, placed_at timestamptz NOT NULL);
    CREATE TABLE order_lines (id bigserial PRIMARY KEY, order_id bigint NOT NULL REFERENCES orders, product_id bigint NOT NULL REFERENCES products,
                              quantity integer NOT NULL, price numeric(10, 2) NOT NULL);
    INSERT INTO customers (email, name, address)
      SELECT 'customer' || n || '@example.org', 'Customer ' || n, jsonb_build_object('street', md5(n::text), 'city', 'City ' || n % 50)
      FROM generate_series(1, 20000) n;
    INSERT INTO products (sku, title, description, price)
      SELECT 'sku-' || n, 'Product ' || n, repeat(md5(n::text) || ' ', 10), (n % 900 + 99) / 10.0 FROM generate_series(1, 3000) n;
    INSERT INTO orders (customer_id, state, placed_at)
      SELECT n % 20000 + 1, (ARRAY['new', 'paid', 'sent', 'done'])[n % 4 + 1], now() - n * interval '4 minutes' FROM generate_series(1, 60000) n;
    INSERT INTO order_lines (order_id, product_id, quantity, price)
      SELECT n % 60000 + 1, n % 3000 + 1, n % 5 + 1, (n % 900 + 99) / 10.0 FROM generate_series(1, 150000) n;
    CREATE INDEX ON orders (customer_id);
    CREATE INDEX ON orders (state, placed_at);
    CREATE INDEX ON order_lines (order_id);
    CREATE INDEX ON order_lines (product_id);
    DO $$ BEGIN
      FOR n IN 1..20 LOOP
        EXECUTE format('CREATE TABLE feature_%s (id bigserial PRIMARY KEY, customer_id bigint REFERENCES customers, payload jsonb)', n);
        EXECUTE format('INSERT INTO feature_%s (customer_id, payload) SELECT i, jsonb_build_object(''at'', i) FROM generate_series(1, 500) i', n);
        EXECUTE format('CREATE INDEX ON feature_%s (customer_id)', n);
      END LOOP;
    END $$;
    ANALYZE;
""")
