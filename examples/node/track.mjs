// The documented call, with nothing but Node's own fetch:
//   SEGMENTFLOW_URL=http://127.0.0.1:8000 SEGMENTFLOW_API_KEY=sk_live_… node track.mjs
const response = await fetch(`${process.env.SEGMENTFLOW_URL}/api/v1/events`, {
  method: "POST",
  headers: {
    "Content-Type": "application/json",
    "X-Api-Key": process.env.SEGMENTFLOW_API_KEY,
    "Idempotency-Key": "order.created:ord_9421",
  },
  body: JSON.stringify({
    event: "order.created",
    profile: {
      email: "alex@example.com",
      externalId: "cus_123",
      properties: { firstName: "Alex", plan: "Pro" },
    },
    data: { orderId: "ord_9421", total: 49, payment: { token: "tok_live_abc" } },
    redactedDataPaths: ["/event/payment/token"],
    referenceId: "ord_9421",
    occurredAt: "2026-05-31T12:00:00.000Z",
  }),
});

console.log(
  JSON.stringify({
    status: response.status,
    replayed: response.headers.get("idempotent-replayed") === "true",
    shouldRetry: response.headers.get("x-should-retry"),
    body: await response.json(),
  }),
);
