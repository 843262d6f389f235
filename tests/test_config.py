"""Settings: what goes before what, and errors that name the source and the key."""

import pytest

from bridge import config, limits
from bridge.config import BusSettings, ListenerSettings, Settings, load
from bridge.errors import ConfigurationError


@pytest.fixture
def file(tmp_path):
    """Write a configuration file."""

    def write(text):
        path = tmp_path / "bridge.toml"
        path.write_text(text)
        return path

    return write


def problem(*arguments, **keywords):
    """The one line that a mistake gives."""
    with pytest.raises(ConfigurationError) as error:
        load(*arguments, **keywords)
    assert "\n" not in str(error.value)
    return str(error.value)


# Layers


def test_nothing_said_gives_the_defaults():
    settings = load()
    assert settings == Settings()
    assert settings.profile is settings.dbc is settings.allow_write is None
    assert settings.bus == settings.listen == ()
    assert (settings.payload_format, settings.log_level) == ("json", "info")
    assert settings.limits.clients == limits.CLIENTS_LIMIT
    assert settings.limits.client_queue == limits.CLIENT_QUEUE_LIMIT
    assert settings.diagnostics.max_frequency == limits.DIAGNOSTIC_MAX_FREQUENCY
    assert settings.diagnostics.responses == "complete"


PLAIN = {
    "profile": ("obd2", "passthrough", "functional"),
    "dbc": ("a.dbc", "b.dbc", "c.dbc"),
    "allow_write": ("none", "signals", "all"),
    "payload_format": ("protobuf", "json", "protobuf"),
    "log_level": ("debug", "warning", "error"),
    "platform": ("FORDBOARD", "CROSSCHASM_C5", "other"),
    "device_id": ("001122334455", "66", "77"),
}


@pytest.mark.parametrize(("key", "values"), PLAIN.items())
def test_the_command_line_goes_before_the_environment_and_that_before_the_file(file, key, values):
    in_file, in_environment, in_flags = values
    path = file(f'{key} = "{in_file}"\n')
    environment = {f"OPENXC_BRIDGE_{key.upper()}": in_environment}
    assert getattr(load(path), key) == in_file
    assert getattr(load(path, environment), key) == in_environment
    assert getattr(load(path, environment, {key: in_flags}), key) == in_flags
    assert getattr(load(path, environment, {key: None}), key) == in_environment
    assert getattr(load(None, environment), key) == in_environment


def test_lists_replace_each_other_as_a_whole(file):
    path = file(
        '[[bus]]\nspec = "virtual"\npassthrough = true\n[[bus]]\nspec = "simulated"\n[[listen]]\nurl = "unix:a"\n'
    )
    environment = {"OPENXC_BRIDGE_BUS": "simulated virtual", "OPENXC_BRIDGE_LISTEN": "unix:b  pty:c"}
    assert load(path).bus == (BusSettings(spec="virtual", passthrough=True), BusSettings(spec="simulated"))
    settings = load(path, environment)
    assert settings.bus == (BusSettings(spec="simulated"), BusSettings(spec="virtual"))
    assert settings.listen == (ListenerSettings(url="unix:b"), ListenerSettings(url="pty:c"))
    assert load(path, environment, {"bus": [{"spec": "replay:x"}]}).bus == (BusSettings(spec="replay:x"),)
    assert load(path, environment, {"bus": None}).bus == settings.bus


def test_everything_that_a_file_may_say(file):
    settings = load(
        file("""
            profile = "functional"
            dbc = "/cars/car.dbc"
            allow_write = "signals,raw"
            payload_format = "protobuf"
            log_level = "debug"
            platform = "FORDBOARD"
            device_id = "001122334455"
            [[bus]]
            spec = "virtual"
            loopback = true
            raw_writable = false
            passthrough = true
            bypass_filter = false
            [[listen]]
            url = "tcp://127.0.0.1:0"
            allow_write = "none"
            payload_format = "json"
            insecure = true
            [diagnostics]
            max_frequency = 50
            responses = "frames"
            [limits]
            clients = 3
            client_queue = 65536
            """)
    )
    assert settings.bus[0] == BusSettings(
        spec="virtual", loopback=True, raw_writable=False, passthrough=True, bypass_filter=False
    )
    assert settings.listen[0] == ListenerSettings(
        url="tcp://127.0.0.1:0", allow_write="none", payload_format="json", insecure=True
    )
    assert (settings.diagnostics.max_frequency, settings.diagnostics.responses) == (50.0, "frames")
    assert (settings.limits.clients, settings.limits.client_queue) == (3, 65536)


def test_other_variables_and_empty_ones_say_nothing():
    environment = {"OPENXC_BRIDGE_PROFILE": "", "PROFILE": "obd2", "OPENXC_BRIDGE_COLOUR": "red", "PATH": "/bin"}
    assert load(None, environment) == Settings()


def test_a_file_s_paths_are_relative_to_the_file_where_they_exist(file, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    (tmp_path / "car.dbc").touch()
    (tmp_path / "car.json").touch()
    path = file('profile = "car.json"\ndbc = "car.dbc"\n')
    settings = load(path)
    assert (settings.profile, settings.dbc) == (str(tmp_path / "car.json"), str(tmp_path / "car.dbc"))
    assert load(path, {}, {"dbc": "other.dbc"}).dbc == "other.dbc"
    assert load(file('profile = "obd2"\n')).profile == "obd2"
    assert load(file('dbc = "/cars/car.dbc"\n')).dbc == "/cars/car.dbc"


# Errors

WRONG = {
    "an unknown key": ('lissten = "x"', 'unknown key "lissten"; did you mean "listen"'),
    "an unknown key in a bus": ('[[bus]]\nspec = "virtual"\nloop_back = true', "bus[0]"),
    "an unknown key in the second listener": (
        '[[listen]]\nurl = "unix:a"\n[[listen]]\nurl = "unix:b"\nallow_writes = "all"',
        "listen[1]",
    ),
    "a suggestion in a table": ("[limits]\nclient = 3", 'did you mean "clients"'),
    "a bus without a spec": ("[[bus]]\nloopback = true", "bus[0]: spec is missing"),
    "a bus that is one table": ('[bus]\nspec = "virtual"', "bus: write [[bus]]"),
    "a spec that is a number": ("[[bus]]\nspec = 1", "bus[0].spec: expected a text, got a whole number"),
    "a switch that is a text": (
        '[[bus]]\nspec = "virtual"\nloopback = "yes"',
        "bus[0].loopback: expected true or false, got a text",
    ),
    "a bus that is no table": ('bus = "virtual"', "bus"),
    "a payload format that is none": ('payload_format = "xml"', "payload_format"),
    "a listener's payload format that is none": (
        '[[listen]]\nurl = "unix:a"\npayload_format = "xml"',
        "listen[0].payload_format",
    ),
    "a log level that is none": (
        'log_level = "loud"',
        "log_level: one of debug, info, warning, error, not 'loud'",
    ),
    "a log level that is a number": ("log_level = 1", "log_level: one of debug, info, warning, error"),
    "a profile that is a number": ("profile = 1", "profile: expected a text, got a whole number"),
    "a frequency that is a text": ('[diagnostics]\nmax_frequency = "fast"', "diagnostics.max_frequency"),
    "a frequency of 0": ("[diagnostics]\nmax_frequency = 0", "diagnostics.max_frequency"),
    "a frequency beyond all": ("[diagnostics]\nmax_frequency = 1e6", "diagnostics.max_frequency"),
    "a frequency that is no number": ("[diagnostics]\nmax_frequency = nan", "diagnostics.max_frequency"),
    "responses of no kind": ('[diagnostics]\nresponses = "some"', "diagnostics.responses"),
    "no client at all": ("[limits]\nclients = 0", "limits.clients"),
    "a fraction of a client": ("[limits]\nclients = 1.5", "limits.clients"),
    "a queue shorter than a record": ("[limits]\nclient_queue = 1000", "limits.client_queue"),
}


@pytest.mark.parametrize(("text", "named"), WRONG.values(), ids=WRONG)
def test_a_mistake_in_a_file_names_file_and_key(file, text, named):
    path = file(text)
    line = problem(path)
    assert line.startswith(f"{path}: ")
    assert named in line


def test_a_file_that_cannot_be_read(tmp_path):
    assert "-f" in problem(tmp_path / "nowhere.toml")
    assert str(tmp_path / "nowhere.toml") in problem(tmp_path / "nowhere.toml")
    assert str(tmp_path) in problem(tmp_path)  # a folder


#: What TOML allows and its reader does not.
BEYOND_TOML = b"a = " + b"[" * 100_000, b"a = " + b"9" * 5000


def test_a_file_that_is_no_toml(tmp_path):
    path = tmp_path / "bridge.toml"
    for data in (b"just text", b"profile = ", b'profile = "\xff"', b"[limits]\n[limits]\n", b"\0", *BEYOND_TOML):
        path.write_bytes(data)
        line = problem(path)
        assert line.startswith(f"{path}: ")
        assert "TOML" in line


def test_a_key_of_very_many_parts(tmp_path):
    path = tmp_path / "bridge.toml"
    path.write_text(".".join(["a"] * 10_000) + " = 1\n")
    assert 'unknown key "a"' in problem(path)


def test_a_file_with_a_byte_order_mark(tmp_path):
    """As Windows' editors write it."""
    path = tmp_path / "bridge.toml"
    path.write_bytes(b'\xef\xbb\xbfplatform = "car"\n')
    assert load(path).platform == "car"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('device_id = "a\\u0000b"', "device_id"),
        ('[[listen]]\nurl = "pty:/tmp/a\\u0000b"', "listen[0].url"),
        ('[gateway]\nstate = "a\\u0000b"', "gateway.state"),
        ('[openobd]\nca = "a\\u0000b"', "openobd.ca"),
        ('[gateway]\nterminal15_on = ["\\u0000"]', "gateway.terminal15_on[0]"),
    ],
)
def test_a_nul_in_a_text(file, text, key):
    path = file(text + "\n")
    assert problem(path) == f"{path}: {key}: there is a NUL in it: leave it out"


@pytest.mark.parametrize(
    "name", ["OPENXC_BRIDGE_DEVICE_ID", "OPENXC_BRIDGE_LOG_LEVEL", "OPENOBD_PARTNER_CLIENT_SECRET"]
)
def test_a_variable_that_is_no_text(name):
    assert problem(None, {name: "a\udcffb"}) == f"the environment: {name}: not valid UTF-8: set it again"


def test_a_path_in_the_environment_may_be_any_bytes():
    assert load(None, {"OPENXC_BRIDGE_PROFILE": "a\udcffb"}).profile == "a\udcffb"


def test_numbers_that_no_computer_has(file):
    assert "max_frequency" in problem(file("[diagnostics]\nmax_frequency = 1" + "0" * 400 + "\n"))


def test_a_mistake_in_the_environment_names_it():
    line = problem(None, {"OPENXC_BRIDGE_PAYLOAD_FORMAT": "xml"})
    assert "environment" in line
    assert "payload_format" in line


def test_a_mistake_on_the_command_line_names_it():
    line = problem(flags={"log_level": "loud"})
    assert "the command line" in line
    assert "log_level" in line


def test_the_source_to_blame_is_the_one_with_the_mistake_even_where_another_goes_before_it(file):
    path = file('payload_format = "xml"\n')
    assert problem(path, {}, {"payload_format": "json"}).startswith(f"{path}: ")


def test_every_setting_has_a_way_into_the_environment_or_is_a_table():
    plain = {name for name in Settings.__struct_fields__ if name not in ("diagnostics", "gateway", "limits", "openobd")}
    for name in plain - {"bus", "listen"}:
        value = PLAIN[name][0]
        assert getattr(load(None, {config.ENVIRONMENT_PREFIX + name.upper(): value}), name) == value


# The gateway


def test_the_command_line_adds_to_the_gateways_table(file):
    path = file('[gateway]\nlisten = "127.0.0.1:1"\nui = "auto"\nstate = "state.sqlite"\n')
    gateway = load(path, {"OPENXC_BRIDGE_GATEWAY": "127.0.0.1:2"}, {"gateway": {"ui": "terminal"}}).gateway
    assert (gateway.listen, gateway.ui) == ("127.0.0.1:2", "terminal")
    assert gateway.state == str(path.parent / "state.sqlite")


@pytest.mark.parametrize(
    ("gateway", "says"),
    [
        ({"session_token_life": 0.0}, "gateway.session_token_life: seconds above 0"),
        ({"broker_token_refresh": 300.0}, "gateway.broker_token_refresh: less than gateway.broker_token_life"),
        ({"connection": [{"pins": {"6-14": 1}}]}, 'gateway.connection[0].pins: "6-14" is no pair'),
        ({"ui": "voice"}, "gateway.ui: one of refuse, terminal, auto, not 'voice'"),
        ({"answer": [{"label": "ok", "answer": 1}, {"label": "(", "answer": 1}]}, "gateway.answer[1].label: not a reg"),
        (
            {"answer": [{"label": "ok", "answer": 1.5}]},
            "gateway.answer[0].answer: expected true or false or a whole number or a text, got a number",
        ),
        ({"partner": [{"client_id": "x"}]}, "gateway.partner[0]: client_secret is missing"),
        ({"partner": [{"client_id": "x", "client_secret": ""}]}, "gateway.partner[0].client_secret: it is empty"),
        ({"partner": [{"client_id": "", "client_secret": "x"}]}, "gateway.partner[0].client_id: it is empty"),
        (
            {"partner": [{"client_id": "x", "client_secret": "y"}] * 2},
            "gateway.partner[1].client_id: there is a partner",
        ),
        (
            {"partner": [{"client_id": "x", "client_secret": y, "cluster_id": y} for y in ("001", "002")]},
            "gateway.partner[1].client_id: there is a partner",
        ),
        ({"partner": {"client_id": "x"}}, "gateway.partner: write [[gateway.partner]]"),
        (
            {"connection": [{"ecu": [{"request_id": -1, "response_id": 0}]}]},
            "ecu[0].request_id: expected a whole number >= 0",
        ),
        (
            {"connection": [{"ecu": [{"request_id": 1, "response_id": 2, "bus": 3}]}]},
            "gateway.connection[0].ecu[0].bus: no pins of the connection lead to bus 3",
        ),
        (
            {"connection": [{"product": [{"number": 1 << 32, "name": ""}]}]},
            "product[0].number: expected a whole number <= 4",
        ),
        ({"certifcate": "x"}, 'did you mean "certificate"?'),
    ],
)
def test_a_mistake_in_the_gateways_table_names_its_key(gateway, says):
    assert says in problem(flags={"gateway": gateway})


# Remote sessions


def test_the_variables_of_the_openobd_library_go_before_the_file(file):
    path = file('[openobd]\nhost = "a"\nclient_id = "b"\nca = "ca.pem"\nresult = "needs-completion"\n')
    variables = {
        "OPENOBD_GRPC_HOST": "127.0.0.1",
        "OPENOBD_GRPC_PORT": "50051",
        "OPENOBD_PARTNER_CLIENT_SECRET": "c",
        "OPENOBD_CLUSTER_ID": "002",
        "OPENOBD_SESSION_INFO": "aaaa",
    }
    remote = load(path, variables).openobd
    assert (remote.host, remote.port, remote.client_id, remote.client_secret) == ("127.0.0.1", 50051, "b", "c")
    assert (remote.cluster_id, remote.session_info, remote.result) == ("002", "aaaa", "needs-completion")
    assert remote.ca == str(path.parent / "ca.pem")


def test_without_any_it_is_the_cloud():
    remote = load().openobd
    assert (remote.host, remote.port, remote.cluster_id) == ("grpc.openobd.com", 443, "001")


@pytest.mark.parametrize("port", ["x", "-1", "0", "65536", "4 43", pytest.param("9" * 5000, id="long")])
def test_a_port_that_is_none(port):
    line = problem(None, {"OPENOBD_GRPC_PORT": port})
    assert line.startswith("the environment: ")
    assert "OPENOBD_GRPC_PORT" in line


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "fe80::1", "localhost", "grpc.openobd.com"])
def test_a_host(host):
    assert load(flags={"openobd": {"host": host}}).openobd.host == host


@pytest.mark.parametrize("host", ["", "a b", "https://grpc.openobd.com", "grpc.openobd.com:443", "me@there"])
def test_a_host_that_is_none(host):
    line = problem(flags={"openobd": {"host": host}})
    assert "openobd.host: " in line
    assert "without the port" in line


@pytest.mark.parametrize(
    ("remote", "says"),
    [({"result": "fine"}, "openobd.result: one of success, "), ({"clientid": "x"}, 'did you mean "client_id"?')],
)
def test_a_mistake_in_the_remote_sessions_table_names_its_key(remote, says):
    assert says in problem(flags={"openobd": remote})
