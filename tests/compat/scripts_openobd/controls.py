"""Shows controls of all kinds to whoever is there; a line for each answer."""

import threading

from openobd import (
    Continue,
    FreeText,
    Image,
    InterfaceType,
    Label,
    LabelTranslations,
    Numbers,
    OpenOBDException,
    OpenOBDStreamStoppedException,
    Options,
    Translation,
    UiHandler,
    YesNo,
)
from vehicle import SUCCESS, claimed

session = claimed()
ui = UiHandler(session, InterfaceType.INTERFACE_OPERATOR)
print("label:", ui.show_ui(Label(label="Connected")))
print("label for a while:", ui.show_ui(Label(label="Wait", minimal_display_time=1)))
print("continue:", ui.show_ui(Continue(label="Start the engine")))
print("yes or no:", ui.show_ui(YesNo(label="Is the ignition on?")))
print("no:", ui.show_ui(YesNo(label="Is the hood open?")))
print("number:", ui.show_ui(Numbers(label="Which cylinder?", minimum=1, maximum=4)))
print("text:", ui.show_ui(FreeText(label="Mileage?")))
translations = LabelTranslations(label="Diesel", translations=[Translation(language="nl", label="Dieselolie")])
fuels = Options(label="Which fuel?", options=["Petrol", "Diesel"])
print("option:", ui.show_ui(fuels, translations, Image(url="https://example.com/fuel.png")))
hanging = threading.Event()


def hang() -> None:
    hanging.set()
    try:
        ui.show_ui(Label(label="For ever", minimal_display_time=3600))
    except OpenOBDStreamStoppedException:
        print("replaced")


thread = threading.Thread(target=hang)
thread.start()
hanging.wait()
print("forced:", UiHandler(session).show_ui(YesNo(label="Is the ignition on?")))
thread.join(30)
ui = UiHandler(session)
try:
    ui.show_ui(YesNo(label="What else?"))
except OpenOBDException as error:
    print("no rule:", error.status, error.details)
ui.stop_stream()
session.finish(SUCCESS)
