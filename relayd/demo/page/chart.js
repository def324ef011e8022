/* A price over the last minutes, drawn as it comes. Where nothing came for a while the line is broken, not bridged. */

const SHORTEST_MS = 20_000; // at first the chart spans little time and then grows ...
const LONGEST_MS = 180_000; // ... to this
const SILENCE_MS = 3_500;
const POINTS_MAX = 1_500;

export class Chart {
  constructor(canvas) {
    this.canvas = canvas;
    this.points = []; // {at, price}
    this.low = this.high = null;
  }

  add(at, price) {
    this.points.push({ at, price });
    while (this.points.length > POINTS_MAX || this.points[0].at < at - LONGEST_MS - SILENCE_MS) this.points.shift();
  }

  /* Milliseconds that the chart shows at a time. */
  static span(now, since) {
    return Math.min(LONGEST_MS, Math.max(SHORTEST_MS, now - since));
  }

  draw(now, span, colours, isLive) {
    const { canvas, points } = this;
    const ratio = devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width) return;
    if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
    if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    if (!points.length) return;

    const seen = points.filter((point, index) => (points[index + 1]?.at ?? now) >= now - span);
    const prices = seen.map((point) => point.price);
    this.scale(Math.min(...prices), Math.max(...prices));
    const [inset, right] = [4, width - 5];
    const x = (at) => right - ((now - at) / span) * right;
    const y = (price) => inset + ((this.high - price) / (this.high - this.low)) * (height - 2 * inset);

    const colour = isLive ? colours.chart : colours.quiet;
    const runs = split(seen, now, isLive);
    pen.lineJoin = "round";
    pen.lineCap = "round";
    for (const run of runs) {
      const line = new Path2D();
      run.forEach(({ at, price }, index) => {
        if (!index) line.moveTo(x(at), y(price));
        else {
          line.lineTo(x(at), y(run[index - 1].price)); // a price stands until the next one
          line.lineTo(x(at), y(price));
        }
      });
      const area = new Path2D(line);
      area.lineTo(x(run.at(-1).at), height);
      area.lineTo(x(run[0].at), height);
      const wash = pen.createLinearGradient(0, 0, 0, height);
      wash.addColorStop(0, colour.replace(")", " / 0.22)"));
      wash.addColorStop(1, colour.replace(")", " / 0)"));
      pen.fillStyle = wash;
      pen.fill(area);
      pen.strokeStyle = colour;
      pen.lineWidth = 1.5;
      pen.stroke(line);
    }
    const last = seen.at(-1);
    pen.fillStyle = colour;
    pen.beginPath();
    pen.arc(isLive ? right : x(last.at), y(last.price), 2.5, 0, 2 * Math.PI);
    pen.fill();
  }

  /* The scale widens at once and narrows slowly, so that the line does not hop. */
  scale(low, high) {
    const least = (low + high) * 2e-4; // less than 4 hundredths of a percent is no movement to speak of
    const room = Math.max(0, least - (high - low)) / 2;
    [low, high] = [low - room, high + room];
    this.low = this.low === null ? low : Math.min(low, this.low + (low - this.low) * 0.08);
    this.high = this.high === null ? high : Math.max(high, this.high + (high - this.high) * 0.08);
  }
}

/* The points in runs without silence; the last one goes on to now while the topic is live. */
function split(points, now, isLive) {
  const runs = [[points[0]]];
  for (let index = 1; index < points.length; index++) {
    if (points[index].at - points[index - 1].at > SILENCE_MS) runs.push([]);
    runs.at(-1).push(points[index]);
  }
  const last = points.at(-1);
  if (isLive && now - last.at < SILENCE_MS) runs.at(-1).push({ at: now, price: last.price });
  return runs;
}
