"""URLs: canonical form, sources, and which addresses may be reached. Pure functions."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import unquote, urljoin, urlsplit

from newswatch.exceptions import ConfigError, InputError

__all__ = [
    "Network",
    "address_allowed",
    "canonical_url",
    "check_url",
    "feed_key",
    "host_of",
    "join_url",
    "parse_networks",
    "source_of",
]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Parameters that name how a reader came, never what is read. Kept narrow: a parameter that could be an article's id
# (id, cid, eid, ref on some sites) must stay, or two articles would become one.
_TRACKING_NAMES = frozenset(
    "fbclid gclid dclid gclsrc gbraid wbraid msclkid yclid ysclid twclid ttclid igshid igsh mc_cid mc_eid _ga _gl "
    "_hsenc _hsmi mkt_tok vero_id vero_conv oly_anon_id oly_enc_id wickedid rb_clickid s_cid cmpid ncid xtor at_medium at_campaign "
    "at_custom1 at_custom2 at_custom3 at_custom4 ocid smid ns_mchannel ns_source ns_campaign ns_linkname ns_fee "
    "traffic_source ref_src ref_url __twitter_impression guccounter guce_referrer guce_referrer_sig".split()
)
_TRACKING_PREFIXES = ("utm_", "pk_", "mtm_", "matomo_", "hsa_", "itm_", "ga_", "piwik_")

_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))


def check_url(url: str) -> str:
    """Check that a URL is one newswatch may request, and return it without fragment and outer space.

    Raises:
        InputError: not ``http`` or ``https``, no host, a bad port, or control characters in it.
    """
    text = url.strip()
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises ValueError for a port that is none
    except ValueError as error:
        raise InputError(f"{url!r} is no URL: {error}", subject=url, reason="bad_url") from None
    if parts.scheme.lower() not in ("http", "https"):
        raise InputError(f"{url!r} is not an http or https address", subject=url, reason="bad_url")
    if not parts.hostname or any(ord(char) <= 32 or ord(char) == 127 for char in text):
        raise InputError(f"{url!r} has no host, or holds spaces or control characters", subject=url, reason="bad_url")
    return text.partition("#")[0]


def canonical_url(url: str) -> str:
    """The form of an address by which an article is known: no tracking parameters, no fragment, host in lower case.

    Order and spelling of the other parameters stay, since servers may care. Non-ASCII is percent-encoded.

    Raises:
        InputError: as `check_url`.

    Example:
        >>> canonical_url("HTTPS://Example.org:443/a?utm_source=rss&id=7#top")
        'https://example.org/a?id=7'
    """
    from yarl import URL

    checked = check_url("%20".join(url.split()))
    try:
        parsed = URL(checked)
    except (ValueError, UnicodeError) as error:
        raise InputError(f"{url!r} is no URL: {error}", subject=url, reason="bad_url") from None
    if parsed.user or parsed.password:
        parsed = parsed.with_user(None)
    place, _, query = str(parsed.with_fragment(None)).partition("?")
    kept = "&".join(part for part in query.split("&") if not _is_tracking(part))
    return f"{place}?{kept}" if kept else place


def _is_tracking(parameter: str) -> bool:
    lower = unquote(parameter.partition("=")[0]).lower()
    return lower in _TRACKING_NAMES or lower.startswith(_TRACKING_PREFIXES)


def feed_key(url: str) -> str:
    """What two spellings of one feed share: no scheme, no ``www.``, no closing slash.

    A feed that is subscribed as http and https, or with and without a slash, is one feed.
    """
    text = canonical_url(url).partition("://")[2]
    return text.removeprefix("www.").rstrip("/")


def join_url(base: str, link: str) -> str:
    """Make a link absolute against a base; a link that cannot be joined is returned as it is."""
    try:
        return urljoin(base, link.strip())
    except ValueError:
        return link.strip()


def host_of(url: str) -> str:
    """The host of a URL in lower case, ``""`` where there is none."""
    try:
        return (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return ""


def source_of(url: str) -> str:
    """The registrable domain of a URL, by the Public Suffix List: who publishes it.

    A host under no public suffix (an intranet name, an IP address) is its own source.

    Example:
        >>> source_of("https://news.bbc.co.uk/story")
        'bbc.co.uk'
    """
    from tld import get_fld

    host = host_of(url)
    if not host:
        return ""
    domain = get_fld(f"https://{host}/", fail_silently=True)
    return str(domain) if domain else host.removeprefix("www.")


def parse_networks(values: Iterable[str]) -> tuple[Network, ...]:
    """Read networks in CIDR form, as in ``127.0.0.0/8``.

    Raises:
        ConfigError: a value is no network.
    """
    networks: list[Network] = []
    for value in values:
        try:
            networks.append(ipaddress.ip_network(value.strip(), strict=False))
        except ValueError:
            raise ConfigError(
                f"{value!r} is no network; write it like 127.0.0.0/8 or fd00::/8", subject=value
            ) from None
    return tuple(networks)


def address_allowed(address: str, allowed: Iterable[Network] = ()) -> bool:
    """Whether an IP address may be connected to: a public unicast one, or one in a network the user allowed.

    IPv4 inside IPv6 (mapped, NAT64, 6to4, Teredo) is judged by the IPv4 address it stands for; anything
    that Python's registry of special networks does not call global is refused.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    inner = _embedded_ipv4(ip)
    candidates = [ip] if inner is None else [inner]
    for candidate in candidates:
        if any(candidate.version == network.version and candidate in network for network in allowed):
            continue
        # The registry leaves out the site-local fec0::/10, which RFC 3879 withdrew but did not set free.
        is_local = isinstance(candidate, ipaddress.IPv6Address) and candidate.is_site_local
        if not candidate.is_global or candidate.is_multicast or candidate.is_reserved or is_local:
            return False
    return True


def _embedded_ipv4(
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | None:
    if isinstance(ip, ipaddress.IPv4Address):
        return None
    if ip.ipv4_mapped:
        return ip.ipv4_mapped
    if any(ip in network for network in _NAT64):
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    if ip.sixtofour:
        return ip.sixtofour
    if ip.teredo:
        return ip.teredo[1]
    if int(ip) >> 32 == 0 and int(ip) > 1:  # the old "IPv4-compatible" form ::a.b.c.d
        return ipaddress.IPv4Address(int(ip))
    return None
