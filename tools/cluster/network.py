"""The node's bridge, its network namespace if it has one, and the packet filter chains that Kubernetes leaves."""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path

from tools.cluster.settings import ClusterError, Settings

CLONE_NEWNET = 0x40000000
TABLES = ("nat", "filter", "mangle")
# What kubelet, kube-proxy and the CNI plugins call their chains.
CHAINS = ("KUBE-", "CNI-")


def enter_namespace(name: str, *, create: bool) -> bool:
    """Move this process into the network namespace `name`; False when it does not exist and `create` is false."""
    path = Path("/run/netns") / name
    if not path.exists():
        if not create:
            return False
        run("ip", "netns", "add", name)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET) != 0:
            raise ClusterError(f"The network namespace {name} cannot be entered: {os.strerror(ctypes.get_errno())}.")
    finally:
        os.close(descriptor)
    run("ip", "link", "set", "lo", "up")
    return True


def remove_namespace(name: str) -> None:
    """Delete the network namespace `name`; the kernel frees it when this process ends too."""
    run("ip", "netns", "delete", name, check=False)
    folder = Path("/run/netns")
    if folder.is_dir() and not any(folder.iterdir()):
        run("umount", str(folder), check=False)  # `ip netns add` mounted it
        folder.rmdir()


def ensure_bridge(settings: Settings) -> None:
    """Have the bridge with the node's address, up, before anything listens on that address."""
    # Asked through ip: /sys shows the devices of the namespace it was mounted in, not of this process.
    if not run("ip", "-oneline", "link", "show", "dev", settings.bridge, check=False):
        run("ip", "link", "add", settings.bridge, "type", "bridge")
    run("ip", "addr", "replace", f"{settings.address}/{settings.pods.prefixlen}", "dev", settings.bridge)
    run("ip", "link", "set", settings.bridge, "up")


def remove_bridge(settings: Settings) -> None:
    """Delete the bridge and the pods' ends of it."""
    for line in run("ip", "-oneline", "link", "show", "master", settings.bridge, check=False).splitlines():
        run("ip", "link", "delete", line.split(": ")[1].partition("@")[0], check=False)
    run("ip", "link", "delete", settings.bridge, check=False)


def foreign_chains() -> bool:
    """Whether the packet filter already has a Kubernetes' chains."""
    return any(line.startswith(":KUBE-") for table in TABLES for line in _saved(table))


def remove_chains() -> None:
    """Delete the rules and chains of Kubernetes and of CNI plugins, and nothing else, one table in one transaction."""
    for table in TABLES:
        lines = _saved(table)
        chains = [line[1:].split()[0] for line in lines if line.startswith(tuple(f":{prefix}" for prefix in CHAINS))]
        if not chains:
            continue
        jumps = [line for line in lines if line.startswith("-A ") and _jumps_into(line, chains)]
        commands = [f"-F {chain}" for chain in chains]
        commands += ["-D" + line[2:] for line in jumps if line.split()[1] not in chains]
        commands += [f"-X {chain}" for chain in chains]
        batch = "\n".join((f"*{table}", *commands, "COMMIT", ""))
        run("iptables-restore", "--noflush", "--wait", "10", stdin=batch)
        run("iptables", "-w", "-t", table, "-X", check=False)


def _jumps_into(rule: str, chains: list[str]) -> bool:
    words = rule.split()
    return any(flag in words and words[words.index(flag) + 1] in chains for flag in ("-j", "-g"))


def _saved(table: str) -> list[str]:
    # Without the table, iptables-save would create it: ask the kernel first where it says so.
    return run("iptables-save", "-t", table, check=False).splitlines()


def run(*command: str, stdin: str | None = None, check: bool = True) -> str:
    """The standard output of `command`; ClusterError with its message when it fails and `check` is set."""
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    except FileNotFoundError as missing:
        if check:
            raise ClusterError(f"{command[0]} is not installed.") from missing
        return ""
    if check and done.returncode != 0:
        raise ClusterError(f"{' '.join(command[:4])} failed: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout
