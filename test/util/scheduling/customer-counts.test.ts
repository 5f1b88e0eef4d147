import { describe, expect, it } from 'vitest';
import { CustomerCounts } from '../../../src/util/scheduling/customer-counts.js';

describe('CustomerCounts', () => {
  it('limits concurrent uses per customer, and counts an IPv6 /64 network as one customer', () => {
    const counts = new CustomerCounts(2);
    const leave = counts.enter('10.0.0.1');
    expect(counts.enter('10.0.0.1')).toBeDefined();
    expect(counts.enter('10.0.0.1')).toBeUndefined();
    expect(counts.enter('10.0.0.2')).toBeDefined();
    leave?.();
    expect(counts.enter('10.0.0.1')).toBeDefined();
    expect([counts.enter('fd00::1'), counts.enter('fd00::2:1')]).not.toContain(undefined);
    expect(counts.enter('fd00::3')).toBeUndefined();
  });
});
