using System;
using System.Linq;
using System.Net;
using System.Net.Http;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using System.Threading.Tasks;

static class Query
{
    static async Task<int> Main(string[] args)
    {
        string url = args[0], key = args[1];
        float[] x = { 1, 2, 3, 4 };
        byte[] json = Encoding.UTF8.GetBytes(
            "{\"inputs\": [{\"name\": \"x\", \"shape\": [2, 2], \"datatype\": \"FP32\", " +
            "\"parameters\": {\"binary_data_size\": 16}}], " +
            "\"outputs\": [{\"name\": \"y\", \"parameters\": {\"binary_data\": true}}]}");

        // The numbers as they are in memory, which is little-endian like the protocol.
        byte[] body = new byte[json.Length + Buffer.ByteLength(x)];
        json.CopyTo(body, 0);
        Buffer.BlockCopy(x, 0, body, json.Length, Buffer.ByteLength(x));

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
        {
            Console.Error.WriteLine($"{(int)answer.StatusCode} {Encoding.UTF8.GetString(reply)}");
            return 1;
        }

        int at = int.Parse(answer.Headers.GetValues("Inference-Header-Content-Length").Single());
        using JsonDocument described = JsonDocument.Parse(reply.AsMemory(0, at));
        foreach (JsonElement output in described.RootElement.GetProperty("outputs").EnumerateArray())
        {
            int size = output.GetProperty("parameters").GetProperty("binary_data_size").GetInt32();
            float[] values = new float[size / sizeof(float)];
            Buffer.BlockCopy(reply, at, values, 0, size);
            at += size;
            Console.WriteLine($"{output.GetProperty("name")} [{string.Join(",", values)}]");
        }
        return 0;
    }
}
