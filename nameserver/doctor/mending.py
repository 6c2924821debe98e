"""The commands that mend what is wrong, for each system."""

from __future__ import annotations

import re

from nameserver.doctor.facts import Card, Facts, System

__all__ = [
    "JOIN",
    "bring_up",
    "let_in_mdns",
    "let_in_network",
    "let_in_port",
    "let_out_mdns",
    "mend_identity",
    "set_clock",
    "show_mdns_port",
    "start_server",
    "switch_multicast_on",
]

MDNS_PORT = 5353
JOIN = "nameserver join, after 'nameserver invite' on the machine that has the name server"
SAY_WHERE = "export REMOTEOBJ_NAMESERVER=HOST:PORT"

_SHOWN = re.compile("'(ch(?:mod|own) [^']+)'")
_WINDOWS = "netsh advfirewall firewall add rule action=allow"
_MACOS = "sudo /usr/libexec/ApplicationFirewall/socketfilterfw --unblockapp $(which python3)"
_FIREWALLD = "sudo firewall-cmd --permanent {} && sudo firewall-cmd --reload"


def let_in_mdns(facts: Facts) -> str:
    """Return what lets multicast DNS in."""
    match facts.system, facts.firewall:
        case "macos", _:
            return _MACOS
        case "windows", _:
            return f"{_WINDOWS} dir=in name=mDNS protocol=UDP localport={MDNS_PORT}"
        case _, "ufw":
            return f"sudo ufw allow {MDNS_PORT}/udp"
        case _, "firewalld":
            return _FIREWALLD.format("--add-service=mdns")
    return f"sudo iptables -I INPUT -p udp --dport {MDNS_PORT} -j ACCEPT"


def let_out_mdns(facts: Facts) -> str:
    """Return what lets multicast DNS out."""
    match facts.system, facts.firewall:
        case "macos", _:
            return _MACOS
        case "windows", _:
            return f"{_WINDOWS} dir=out name=mDNS protocol=UDP remoteport={MDNS_PORT}"
        case _, "ufw":
            return f"sudo ufw allow out {MDNS_PORT}/udp"
    return f"sudo iptables -I OUTPUT -p udp --dport {MDNS_PORT} -j ACCEPT"


def let_in_network(facts: Facts, network: str) -> str:
    """Return what lets the callers of a network reach objects here, whose ports are any."""
    match facts.system, facts.firewall:
        case "macos", _:
            return _MACOS
        case "windows", _:
            return f"{_WINDOWS} dir=in name=objects protocol=TCP remoteip={network}"
        case _, "ufw":
            return f"sudo ufw allow proto tcp from {network}"
        case _, "firewalld":
            return _FIREWALLD.format(f"--zone=trusted --add-source={network}")
    return f"sudo iptables -I INPUT -p tcp -s {network} -j ACCEPT"


def let_in_port(port: int | None) -> str:
    """Return what lets callers reach a name server on another machine, whose system we know not."""
    return f"sudo ufw allow {port}/tcp"


def bring_up(facts: Facts, card: Card) -> str:
    """Return what brings an interface into its network."""
    name = card.name
    if card.state == "unplugged":
        join = f"   # Wi-Fi: nmcli device connect {name}" if facts.system == "linux" else ""
        return f"plug its cable in, or join a Wi-Fi network{join}"
    match facts.system:
        case "macos":
            return f"sudo ifconfig {name} up"
        case "windows":
            return f'netsh interface set interface "{name}" enabled'
        case "linux":
            return f"sudo ip link set {name} up"


def switch_multicast_on(facts: Facts, name: str) -> str:
    """Return what makes an interface carry multicast."""
    return f"sudo ip link set dev {name} multicast on" if facts.system == "linux" else SAY_WHERE


def lead_multicast(facts: Facts, name: str) -> str:
    """Return what gives multicast a way out of this machine."""
    match facts.system:
        case "macos":
            return f"sudo route add -net 224.0.0.0/4 -interface {name}"
        case "windows":
            return f'netsh interface ipv4 add route 224.0.0.0/4 "{name}"'
        case "linux":
            return f"sudo ip route add 224.0.0.0/4 dev {name}"


def mend_identity(said: str, system: System) -> str:
    """Return what mends a certificate or a file of an identity, by what was said of it; empty where
    that does not tell.
    """
    shown = _SHOWN.search(said)
    if shown is not None:
        return shown[1]
    if "expired" in said:
        return f"{_clock(system)}   # if the date is right: {JOIN}"
    return _clock(system) if "clock" in said or "not yet valid" in said else ""


def set_clock(facts: Facts) -> str:
    """Return what sets a clock by the network."""
    return _clock(facts.system)


def _clock(system: System) -> str:
    match system:
        case "macos":
            return "sudo sntp -sS time.apple.com"
        case "windows":
            return "w32tm /resync"
        case "linux":
            return "sudo timedatectl set-ntp true"


def show_mdns_port(facts: Facts) -> str:
    """Return what shows the program that keeps the port of multicast DNS to itself."""
    match facts.system:
        case "macos":
            return f"sudo lsof -nP -iUDP:{MDNS_PORT}"
        case "windows":
            return f"netstat -ano -p UDP | findstr :{MDNS_PORT}"
        case "linux":
            return f"sudo ss -ulpn 'sport = :{MDNS_PORT}'"


def start_server(facts: Facts, host: str, port: int | None = None) -> str:
    """Return what starts a name server that this machine can talk to."""
    held = facts.credentials
    at = f" --port {port}" if port else ""
    files = " --identity CA CERTIFICATE KEY" if held.has_files else ""
    return f"nameserver run --host {host}{at}{' --insecure' if held.is_insecure else files}"
