/* Names of topics, and patterns that meet them (docs/protocol.md, "Topics"). */

/* Values as one topic, escaped. */
export function topic(...values) {
  if (!values.length) throw new TypeError("a topic has at least one value");
  return values.map((value) => {
    const text = String(value);
    if (!text) throw new TypeError("an empty value cannot be a topic segment");
    const plain = /^\.+$/.test(text) ? /^$/ : /[\w.:@-]/;
    const bytes = Array.from(new TextEncoder().encode(text));
    return bytes.map((byte) => {
      const letter = String.fromCharCode(byte);
      return plain.test(letter) ? letter : "~" + byte.toString(16).toUpperCase().padStart(2, "0");
    }).join("");
  }).join("/");
}

/* Whether a name is meant by this topic or pattern. */
export function matcher(text) {
  if (!text.includes("*")) return (name) => name === text;
  const parts = text.split("/").map((part) => (part === "*" ? "[^/]+" : part === "**" ? ".+" : part.replace(/\W/g, "\\$&")));
  const regex = new RegExp(`^${parts.join("/")}$`);
  return (name) => regex.test(name);
}
