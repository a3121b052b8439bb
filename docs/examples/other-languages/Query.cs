using System.Buffers.Binary;
using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;

float[] x = { 1, 2, 3, 4 };
byte[] json = Encoding.UTF8.GetBytes(
    "{\"inputs\": [{\"name\": \"x\", \"shape\": [2, 2], \"datatype\": \"FP32\", " +
    "\"parameters\": {\"binary_data_size\": 16}}], " +
    "\"outputs\": [{\"name\": \"y\", \"parameters\": {\"binary_data\": true}}]}");

byte[] body = new byte[json.Length + 4 * x.Length];
json.CopyTo(body, 0);
for (int i = 0; i < x.Length; i++)
    BinaryPrimitives.WriteSingleLittleEndian(body.AsSpan(json.Length + 4 * i), x[i]);

// A redirect would take the data elsewhere.
using var client = new HttpClient(new HttpClientHandler { AllowAutoRedirect = false });
client.Timeout = TimeSpan.FromMinutes(5);

using var request = new HttpRequestMessage(HttpMethod.Post, url);
request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", key);
request.Headers.Add("Inference-Header-Content-Length", json.Length.ToString());
request.Content = new ByteArrayContent(body);
request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/octet-stream");

using HttpResponseMessage answer = await client.SendAsync(request);
byte[] reply = await answer.Content.ReadAsByteArrayAsync();
if (answer.StatusCode != HttpStatusCode.OK)
    throw new Exception($"{(int)answer.StatusCode}: {Encoding.UTF8.GetString(reply)}");

int at = int.Parse(answer.Headers.GetValues("Inference-Header-Content-Length").Single());
using JsonDocument told = JsonDocument.Parse(reply.AsMemory(0, at));
foreach (JsonElement output in told.RootElement.GetProperty("outputs").EnumerateArray())
{
    int size = output.GetProperty("parameters").GetProperty("binary_data_size").GetInt32();
    float[] values = new float[size / 4];
    for (int i = 0; i < values.Length; i++)
        values[i] = BinaryPrimitives.ReadSingleLittleEndian(reply.AsSpan(at + 4 * i));
    at += size;
    Console.WriteLine($"{output.GetProperty("name")}: {string.Join(", ", values)}");
}
