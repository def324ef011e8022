/* Numbers and sentences. */

/* "64012.35" as "64,012.35"; the decimals stay as the feed sent them. */
export function grouped(number) {
  const [whole, decimals] = String(number).split(".");
  const spaced = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return decimals === undefined ? spaced : `${spaced}.${decimals}`;
}

/* Touches the page only where something changed. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setState(element, state) {
  if (element.dataset.state !== state) element.dataset.state = state;
}

export function seconds(ms) {
  return ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`;
}

export function clockTime(date = new Date()) {
  return date.toTimeString().slice(0, 8);
}

export function plural(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

const KINDS = { ticker: "prices", matches: "trades", level2: "order book" };

/* demo/matches/ETH-USD as "ETH-USD trades". */
export function topicName(topic) {
  const [, kind, product] = topic.split("/");
  return `${product} ${KINDS[kind] ?? kind}`;
}

/* Many topics in few words: one by its name, more by their number. */
export function topicNames(topics) {
  return topics.length === 1 ? topicName(topics[0]) : `${topics.length} topics`;
}

/* What a state means for whoever looks at the page. */
export function stateSentence(state, topics, why) {
  const who = topicNames(topics);
  const are = topics.length === 1 ? "is" : "are";
  const reason = why ? ` (${why})` : "";
  switch (state) {
    case "live":
      return `${who} ${are} live.`;
    case "pending":
      return `${who}: asked for, no data yet${reason}.`;
    case "stale":
      return `${who} ${topics.length === 1 ? "has" : "have"} gone quiet: relayd says so, lest old data pass for new${reason}.`;
    case "reconnecting":
      return `relayd dials the feed anew; ${who} will follow${reason}.`;
    case "resumed":
      return `${who} resumed where ${topics.length === 1 ? "it" : "they"} stood: nothing missed.`;
    case "restarted":
      return `${who}: what was missed is no longer kept, so ${topics.length === 1 ? "it begins" : "they begin"} anew.`;
    case "failed":
      return `${who}: the feed refused${reason}.`;
    default:
      return `${who} ${are} ${state}${reason}.`;
  }
}

const CAUSES = {
  upstream: "the feed itself skipped it",
  slow: "this page read too slowly",
  rate: "this page asked for fewer",
  epoch: "relayd started anew in between",
  too_large: "it was too large",
};

export function lostSentence(notice) {
  const verb = notice.count === 1 ? "is" : "are";
  const cause = CAUSES[notice.why] ?? notice.why;
  return `${plural(notice.count, "message")} of ${topicName(notice.topic)} ${verb} missing after offset ${notice.after}: ${cause}.`;
}

export function awaySentence(topics, why) {
  const cause = why === "upstream" ? "what the feed said while relayd was away from it" : (CAUSES[why] ?? why);
  return `${topicNames(topics)}: something may be missing, nobody can know how much (${cause}).`;
}

const CODES = {
  1001: "this page left",
  1006: "the connection broke",
  1012: "relayd restarts",
  1013: "relayd is full",
  4008: "this page read too slowly",
  4012: "this page did not answer a ping",
};

export function closeSentence({ code, reason }) {
  return `${CODES[code] ?? reason ?? "closed"} (${code})`;
}
