import type { VNode } from 'preact';
import { Page } from '../parts/page.tsx';

/** The state of the registry at a glance. */
export function Overview(): VNode {
  return (
    <Page title="Overview">
      <p>
        See the <a href="#/images">images</a>.
      </p>
    </Page>
  );
}
