// The documented call, with types and a client generated from GET /openapi.json:
//   npm install && npm run generate && npm run build && node built/track.js
import createClient from "openapi-fetch";

import type { components, paths } from "./api.js";

const client = createClient<paths>({ baseUrl: process.env.SEGMENTFLOW_URL! });

const event: components["schemas"]["TrackRequest"] = {
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
};

const { data, error, response } = await client.POST("/api/v1/events", {
  params: { header: { "idempotency-key": "order.created:ord_9421" } },
  headers: { "x-api-key": process.env.SEGMENTFLOW_API_KEY! },
  body: event,
});

if (error) {
  console.log(JSON.stringify({ status: response.status, code: error.error }));
} else {
  const receipt: components["schemas"]["Receipt"] = data;
  console.log(JSON.stringify({ status: response.status, receipt }));
}

// @ts-expect-error a mistyped field is found before anything is sent
export const mistyped: components["schemas"]["TrackRequest"] = { ...event, redactedDataPath: [] };
