/**
 * Classifies the selected detections as normal or atypical mitoses, by OpenCV and without an extension.
 *
 * For Research Use Only. Not for use in diagnostic procedures.
 * Not run in QuPath: written for version 0.5 and later, from the sources of QuPath.
 */
import java.awt.RenderingHints
import java.awt.image.BufferedImage
import javax.imageio.ImageIO
import org.bytedeco.opencv.global.opencv_dnn
import qupath.lib.io.GsonTools
import qupath.lib.objects.classes.PathClass
import qupath.lib.regions.RegionRequest
import qupath.opencv.tools.OpenCVTools

def folder = new File(buildFilePath(PROJECT_BASE_DIR, "mitotype"))  // change it if the folder is elsewhere
def record = GsonTools.getInstance().fromJson(new File(folder, "mitotype.json").getText("UTF-8"), Map)
int sidePx = record.side_px as int
double mppUm = record.mpp_um as double
def net = opencv_dnn.readNetFromONNX(new File(folder, "two_class.onnx").getAbsolutePath())

// The softmax of the atypical class: 0.5 at the threshold of the bundle. TYPE_INT_RGB gives red, green and blue in this order.
def atypicalOf = { BufferedImage image ->
    def mat = OpenCVTools.imageToMat(image)
    def blob = opencv_dnn.blobFromImage(mat)
    net.setInput(blob)
    def logits = net.forward()
    def values = logits.createIndexer()
    double margin = values.get(0, 1) - values.get(0, 0)
    [mat, blob, logits].each { it.close() }
    return 1 / (1 + Math.exp(-margin))
}

// A square image of `sidePx` with `source` drawn at (left, top), `width` × `height`, and black where it does not reach.
def patchOf = { BufferedImage source, int left, int top, int width, int height ->
    def image = new BufferedImage(sidePx, sidePx, BufferedImage.TYPE_INT_RGB)
    def graphics = image.createGraphics()
    graphics.setRenderingHint(RenderingHints.KEY_INTERPOLATION, RenderingHints.VALUE_INTERPOLATION_BILINEAR)
    graphics.drawImage(source, left, top, width, height, null)
    graphics.dispose()
    return image
}

double test = atypicalOf(patchOf(ImageIO.read(new File(folder, record.test_image)), 0, 0, sidePx, sidePx))
if (Math.abs(test - (record.atypical as double)) > 0.001)
    throw new RuntimeException("The test image gives " + test + " instead of " + record.atypical + ".")

def server = getCurrentServer()
def calibration = server.getPixelCalibration()
if (!calibration.hasPixelSizeMicrons())
    throw new RuntimeException("The image has no pixel size. Set it in the tab Image.")
double downsample = mppUm / calibration.getAveragedPixelSizeMicrons()
int side = Math.round(sidePx * downsample) as int  // px of the slide

def detections = getSelectedObjects().findAll { it.isDetection() }
detections.each { detection ->
    def roi = detection.getROI()
    int left = Math.round(roi.getCentroidX() - side / 2.0d) as int
    int top = Math.round(roi.getCentroidY() - side / 2.0d) as int
    int x = Math.max(left, 0), y = Math.max(top, 0)
    int right = Math.min(left + side, server.getWidth()), bottom = Math.min(top + side, server.getHeight())
    def region = RegionRequest.createInstance(server.getPath(), downsample, x, y, right - x, bottom - y, roi.getZ(), roi.getT())
    def image = server.readRegion(region)  // its size is rounded, and may be a pixel less or more
    def (x0, y0, x1, y1) = [x - left, y - top, right - left, bottom - top].collect { Math.round(it * sidePx / (double) side) as int }
    double atypical = atypicalOf(patchOf(image, x0, y0, x1 - x0, y1 - y0))
    detection.setPathClass(PathClass.fromString(record.class_names[atypical >= 0.5 ? 1 : 0]))
    detection.getMeasurementList().put(record.class_names[1], atypical)
}
fireHierarchyUpdate()
println detections.size() + " detections classified. " + record.notice
