// Usage: node json.mjs URL KEY, with Node 18 or later.
const [url, key] = process.argv.slice(2);
const answer = await fetch(url, {
  method: "POST",
  headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
  body: JSON.stringify({ x: [[1, 2], [3, 4]] }),
  redirect: "error",
  signal: AbortSignal.timeout(300_000),
});
const reply = await answer.json(); // errors of the model's endpoint are JSON too
if (answer.status !== 200) {
  throw new Error(`${answer.status} ${reply.type}: ${reply.message}`);
}
console.log(JSON.stringify(reply.y));
