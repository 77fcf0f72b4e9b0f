"""What a compose file declares at its top level (networks, volumes, configs, secrets), and how a service joins a network.

In place there is no top level: what is said there of a network stands at the service's own entry.
"""

from quarterdeck.config import scalars as fleet_scalars
from quarterdeck.config.compose import scalars
from quarterdeck.config.compose.mounts import DEFINITION, EXTERNAL
from quarterdeck.config.compose.parts import LABELS, LATER, OPTIONS, RESOURCE_NAME, SOME_TEXT, only, whole
from quarterdeck.config.compose.shapes import BOOLEAN
from quarterdeck.config.kinds import TEXT
from quarterdeck.config.locations import LocalPath, SecretFile
from quarterdeck.config.shapes import Key, Keys, ListOf, Scalar

_NETWORK_OWN = (
    Key("external", EXTERNAL, "Whether it is made by others; then it must be there already.", default="false"),
    Key("name", RESOURCE_NAME, "Its name on the engine."),
    Key("driver", TEXT, "The driver that makes it."),
    Key("driver_opts", OPTIONS, "Options for the driver."),
    Key("internal", BOOLEAN, "Whether it leads nowhere outside.", default="false"),
    Key("attachable", BOOLEAN, "Whether other containers may join it.", default="false"),
    Key("enable_ipv6", BOOLEAN, "Whether it has IPv6.", default="false"),
    Key(
        "ipam",
        Keys(
            "ipam",
            (
                Key("driver", only("default", "other drivers are not supported"), "Only default."),
                Key(
                    "config",
                    ListOf(
                        Keys(
                            "an address range",
                            (
                                Key(
                                    "subnet", Scalar("a network such as 172.28.0.0/16", scalars.subnet), "The network."
                                ),
                                Key("gateway", Scalar("an IP address", scalars.address), "Its router's address."),
                            ),
                            refused={"ip_range": LATER, "aux_addresses": LATER},
                            compose=True,
                        ),
                        "a list of address ranges",
                    ),
                    "Its address ranges.",
                ),
            ),
            refused={"options": LATER},
            compose=True,
        ),
        "Its addresses.",
    ),
    Key("labels", LABELS, "Labels that it is made with."),
)
_NETWORK_REFUSED = {"enable_ipv4": LATER, "scope": LATER}
NETWORK = Keys("a network", _NETWORK_OWN, refused=_NETWORK_REFUSED, compose=True)
VOLUME = Keys("a volume", DEFINITION, compose=True)
_ATTACHMENT = (
    Key("aliases", ListOf(SOME_TEXT, "a list of names"), "Further names of the container in it."),
    Key("ipv4_address", Scalar("an IPv4 address", scalars.address), "The container's fixed address."),
    Key("ipv6_address", Scalar("an IPv6 address", scalars.address), "The container's fixed IPv6 address."),
    Key("priority", whole(-(2**31), 2**31 - 1, "a whole number"), "Networks of a higher one are connected first."),
)
_ATTACHMENT_REFUSED = dict.fromkeys(("mac_address", "link_local_ips", "interface_name", "gw_priority"), LATER)
ATTACHMENT = Keys(
    "a service's network", _ATTACHMENT, refused={**_ATTACHMENT_REFUSED, "driver_opts": LATER}, compose=True
)
ATTACHMENT_IN_PLACE = Keys(
    "a network in place",
    (*_ATTACHMENT, *_NETWORK_OWN),
    refused={**_ATTACHMENT_REFUSED, **_NETWORK_REFUSED},
    compose=True,
)
CONFIG_SOURCE = (
    Key("file", LocalPath("the path of a file"), "The file that holds the text, relative to this one."),
    Key("content", Scalar("text", fleet_scalars.any_text), "The text itself."),
)
CONFIG = Keys(
    "a config",
    (
        *CONFIG_SOURCE,
        Key("environment", SOME_TEXT, "The variable of who runs qd that holds the text."),
        Key("name", SOME_TEXT, "A swarm's name for it; it changes nothing."),
    ),
    one_of=("file", "content", "environment"),
    refused={
        "external": "can't be kept: a release brings its own text, so say `file`, `content` or `environment`",
        "labels": LATER,
        "template_driver": LATER,
    },
    compose=True,
)
SECRET = Keys(
    "a secret of a compose file",
    (
        Key("file", SecretFile("the path of a file"), "The file that holds the value, relative to this one."),
        Key("environment", SOME_TEXT, "The variable of who runs qd that holds the value."),
        Key("external", EXTERNAL, "Whether the fleet file's own `secrets` say where the value is.", default="false"),
        Key("name", SOME_TEXT, "Its name among the fleet file's secrets, where it is external."),
    ),
    one_of=("file", "environment", "external"),
    refused=dict.fromkeys(("labels", "driver", "driver_opts", "template_driver"), LATER),
    compose=True,
)
