// Usage: node fetch.mjs URL KEY, with Node 18 or later.
const [url, key] = process.argv.slice(2);

const x = new Float32Array([1, 2, 3, 4]);
const json = Buffer.from(
  JSON.stringify({
    inputs: [
      { name: "x", shape: [2, 2], datatype: "FP32", parameters: { binary_data_size: x.byteLength } },
    ],
    outputs: [{ name: "y", parameters: { binary_data: true } }],
  }),
);

const answer = await fetch(url, {
  method: "POST",
  headers: {
    Authorization: `Bearer ${key}`,
    "Content-Type": "application/octet-stream",
    "Inference-Header-Content-Length": String(json.length), // bytes, not characters
  },
  // Typed arrays are little-endian, as the protocol wants them, on x86 and ARM.
  body: Buffer.concat([json, Buffer.from(x.buffer, x.byteOffset, x.byteLength)]),
  redirect: "error", // the token is for this server
  signal: AbortSignal.timeout(300_000),
});
if (answer.status !== 200) {
  throw new Error(`${answer.status}: ${await answer.text()}`);
}

const reply = await answer.arrayBuffer();
let at = Number(answer.headers.get("Inference-Header-Content-Length"));
const { outputs } = JSON.parse(Buffer.from(reply, 0, at).toString());
for (const { name, shape, parameters } of outputs) {
  // slice copies: a Float32Array may not begin at any byte
  const values = new Float32Array(reply.slice(at, at + parameters.binary_data_size));
  at += parameters.binary_data_size;
  console.log(name, JSON.stringify(shape), JSON.stringify([...values]));
}
