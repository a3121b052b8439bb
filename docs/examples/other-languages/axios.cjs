// Usage: node axios.cjs URL KEY, after npm install axios.
const axios = require("axios");
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
const body = Buffer.concat([json, Buffer.from(x.buffer, x.byteOffset, x.byteLength)]);

async function main() {
  const answer = await axios.post(url, body, {
    headers: {
      Authorization: `Bearer ${key}`,
      "Content-Type": "application/octet-stream",
      "Inference-Header-Content-Length": json.length,
    },
    responseType: "arraybuffer", // a text would be damaged
    maxBodyLength: Infinity,
    maxRedirects: 0, // the token is for this server
    timeout: 300_000,
    validateStatus: () => true,
  });
  const reply = answer.data; // a Buffer
  if (answer.status !== 200) {
    throw new Error(`${answer.status}: ${reply.toString()}`);
  }
  let at = Number(answer.headers["inference-header-content-length"]);
  const { outputs } = JSON.parse(reply.subarray(0, at).toString());
  for (const { name, shape, parameters } of outputs) {
    const count = parameters.binary_data_size / 4;
    const values = Array.from({ length: count }, (_, i) => reply.readFloatLE(at + 4 * i));
    at += parameters.binary_data_size;
    console.log(name, JSON.stringify(shape), JSON.stringify(values));
  }
}

main().catch((error) => {
  console.error(error.message); // not the error itself: it contains the token
  process.exitCode = 1;
});
