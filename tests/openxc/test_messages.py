from bridge.errors import ClientError
from bridge.openxc.messages import CommandName, InvalidRecord, SimpleCommand


def test_commands_by_their_names_on_the_wire():
    assert {str(name) for name in CommandName} == {
        "version",
        "device_id",
        "platform",
        "passthrough",
        "af_bypass",
        "payload_format",
        "predefined_obd2",
        "diagnostic_request",
        "modem_configuration",
        "rtc_configuration",
        "sd_mount_status",
        "get_vin",
    }


def test_a_command_name_is_its_text():
    assert SimpleCommand(name=CommandName.GET_VIN) == SimpleCommand(name="get_vin")


def test_a_broken_record_is_the_clients_fault():
    assert issubclass(InvalidRecord, ClientError)
