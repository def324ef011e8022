// Reads a topic with the browser's own WebSocket. Evaluated in a page as a function of [url, count]; its promise is kept
// in `window.tally` so that the test can begin only when the connection is open.
async ([url, count]) => {
  const hex = (buffer) => [...new Uint8Array(buffer)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const sha256 = async (bytes) => hex(await crypto.subtle.digest("SHA-256", bytes));
  const encoder = new TextEncoder();
  const connection = new WebSocket(url);
  connection.binaryType = "arraybuffer";
  const lines = [];
  let bytes = 0;
  window.tally = new Promise((resolve) => {
    connection.onmessage = ({ data }) => {
      if (lines.length >= count) return;
      const isText = typeof data === "string";
      const payload = isText ? encoder.encode(data) : data;
      bytes += payload.byteLength;
      lines.push(sha256(payload).then((hash) => `${isText ? "t" : "b"} ${hash}\n`));
      if (lines.length === count) connection.close(1000);
    };
    connection.onclose = async ({ code }) => {
      const all = (await Promise.all(lines)).join("");
      resolve({ messages: lines.length, bytes, sha256: await sha256(encoder.encode(all)), code });
    };
  });
  await new Promise((resolve, reject) => {
    connection.onopen = resolve;
    connection.onerror = () => reject(new Error(`cannot open ${url}`));
  });
};
