import { createHmac } from 'node:crypto';
import { keyOfSecret, type WebhookConfig } from '../../protocol/settings/webhook-config.js';

/**
 * Returns the headers that let the receiver verify a body (Standard Webhooks 1.0). While a secret is rotated, both sign.
 * @param at the time of the attempt, in ms: receivers refuse old requests.
 */
export function signMessage(
  { secret, previousSecret }: Pick<WebhookConfig, 'secret' | 'previousSecret'>,
  id: string,
  at: number,
  body: string,
): Readonly<Record<string, string>> {
  const timestamp = String(Math.floor(at / 1000));
  const sign = (each: string): string =>
    `v1,${createHmac('sha256', keyOfSecret(each)).update(`${id}.${timestamp}.${body}`).digest('base64')}`;
  const secrets = previousSecret === undefined ? [secret] : [secret, previousSecret];
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': secrets.map(sign).join(' ') };
}
