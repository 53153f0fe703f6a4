"""Keeps our own certificates: the authority in a Secret, the public bundle in a ConfigMap, the serving certificate in memory.

Both objects are made empty by the chart, because a right to create cannot be limited to one name. They are replaced under their
resourceVersion: of two replicas that start at once, one writes and the other reads what was written.
"""

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from locktender.core import gate_messages
from locktender.core.errors import ApiError
from locktender.kube import paths
from locktender.kube.client import Client, JsonObject
from locktender.settings import CertificateTimes, WebhookSettings
from locktender.webhook.authority import Pair, read_authority, sign_serving, used_up
from locktender.webhook.rotation import Authorities, Bundle, read_bundle, settled, trusted, turned, written
from locktender.webhook.server import Standing
from locktender.webhook.serving import Serving

log = logging.getLogger("locktender.webhook")
SIGNING = ("ca.crt", "ca.key")
COMING = ("next-ca.crt", "next-ca.key")
BUNDLE = "ca.crt"


class Missing(Exception):  # it is shown, and looked for again
    """An object that the chart creates is not there. `str()` is the sentence to show."""


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Keeper:
    """One replica's part."""

    client: Client
    settings: WebhookSettings
    serving: Serving
    standing: Standing
    times: CertificateTimes = field(default_factory=CertificateTimes)
    clock: Callable[[], datetime] = _now
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _served: Pair | None = None
    _signer: Pair | None = None

    async def keep(self) -> None:
        """Look again and again, until cancelled. Whatever fails leaves what is served in place."""
        while True:
            try:
                await self.look()
            except (ApiError, Missing) as problem:
                if isinstance(problem, ApiError) and problem.status == 409:
                    continue  # the other replica was faster: look at what it wrote
                log.warning("the certificates cannot be looked after: %s", problem)
                if not self.serving.loaded:
                    self.standing.unready = str(problem)
            pause = self.times.look if self.standing.unready == "" else min(self.times.look, self.times.settle / 10)
            await self.sleep(pause.total_seconds())

    async def look(self) -> None:
        """One pass: turn the authorities, publish the bundle, serve. ApiError 409 when another replica wrote meanwhile."""
        secret, config_map = await self._read()
        stored, published, now = self._authorities(secret), self._bundle(config_map), self.clock()
        authorities = turned(stored, published, now, self.times)
        if authorities != stored:
            await self._store(secret, authorities)
        bundle = trusted(published, authorities, self._signer, now)
        if (config_map.get("data") or {}).get(BUNDLE) != written(bundle):
            config_map["data"] = {**(config_map.get("data") or {}), BUNDLE: written(bundle)}
            await self.client.replace(paths.config_maps(self.settings.namespace, self.settings.config_map), config_map)
            log.info("published a bundle of %d authorities in ConfigMap %s", len(bundle), self.settings.config_map)
        assert authorities.signing is not None  # noqa: S101  # turned() makes one
        self._serve(authorities.signing, bundle, now)

    def _serve(self, signing: Pair, bundle: Bundle, now: datetime) -> None:
        """Renew what is served where needed. A new authority takes over from one that is trusted only when it is trusted itself."""
        trusted_yet = settled(signing, bundle, now, self.times)
        old = self._served is None or self._served.parsed.not_valid_after_utc <= now
        worn = self._served is not None and used_up(self._served.parsed, now)
        if old or worn or (signing != self._signer and trusted_yet):
            signer = signing if old or trusted_yet or self._signer is None else self._signer
            self._served = sign_serving(signer, self.settings.certificate_names, now, self.times.serving)
            self._signer = signer
            self.serving.load(self._served.certificate, self._served.key)
            log.info("serving with a certificate until %s", self._served.parsed.not_valid_after_utc.isoformat())
        known = self._signer is not None and settled(self._signer, bundle, now, self.times)
        self.standing.unready = "" if known else gate_messages.authority_settles(self.settings.config_map)

    async def _read(self) -> tuple[JsonObject, JsonObject]:
        namespace = self.settings.namespace
        secret = await self.client.get(paths.secrets(namespace, self.settings.secret))
        if secret is None:
            raise Missing(gate_messages.gate_object_missing("Secret", namespace, self.settings.secret))
        config_map = await self.client.get(paths.config_maps(namespace, self.settings.config_map))
        if config_map is None:
            raise Missing(gate_messages.gate_object_missing("ConfigMap", namespace, self.settings.config_map))
        return secret, config_map

    def _authorities(self, secret: JsonObject) -> Authorities:
        data = secret.get("data") or {}
        return Authorities(self._pair(data, SIGNING), self._pair(data, COMING))

    def _pair(self, data: JsonObject, names: tuple[str, str]) -> Pair | None:
        if not any(data.get(name) for name in names):
            return None
        try:
            return read_authority(*(base64.b64decode(data.get(name) or "") for name in names))
        except ValueError as problem:
            log.warning(
                "%s", gate_messages.authority_unusable(self.settings.namespace, self.settings.secret, names, problem)
            )
            return None

    def _bundle(self, config_map: JsonObject) -> Bundle:
        try:
            return read_bundle((config_map.get("data") or {}).get(BUNDLE) or "")
        except ValueError as problem:
            log.warning("ConfigMap %s holds no PEM bundle and is written anew: %s", self.settings.config_map, problem)
            return ()

    async def _store(self, secret: JsonObject, authorities: Authorities) -> None:
        data = {name: value for name, value in (secret.get("data") or {}).items() if name not in (*SIGNING, *COMING)}
        for names, pair in ((SIGNING, authorities.signing), (COMING, authorities.coming)):
            if pair is not None:
                parts = (pair.certificate, pair.key)
                data |= {name: base64.b64encode(part).decode() for name, part in zip(names, parts, strict=True)}
        secret["data"] = data
        await self.client.replace(paths.secrets(self.settings.namespace, self.settings.secret), secret)
        log.info("stored the authorities in Secret %s/%s", self.settings.namespace, self.settings.secret)
