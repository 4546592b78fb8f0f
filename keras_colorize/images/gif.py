"""GIF files whose first frame is gray and whose later ones are not, which Pillow reads wrongly."""

from PIL import GifImagePlugin, Image


class GifFile(GifImagePlugin.GifImageFile):
    """Makes a gray first frame color before the second one is drawn over it.

    Pillow would draw the numbers of the second frame's colors.
    """

    def _seek(self, frame: int, update_image: bool = True) -> None:
        if frame == 1 and update_image:
            self.load()
            if self.mode == "L":
                mode = "RGBA" if "transparency" in self.info else "RGB"
                self.im = Image.Image.convert(self, mode).im
                self._mode = mode
                self.info.pop("transparency", None)
        super()._seek(frame, update_image)
