import { signal } from '@preact/signals';
import type { VNode } from 'preact';
import { pullLines, type ImageName } from '../image-links.ts';
import { SelectField } from './field.tsx';
import { CopyLine } from './texts.tsx';

/** The client that was chosen last. */
const client = signal('docker');

/** Shows the line that pulls an image, for the client that the user chooses. */
export function PullCommand({ name, reference }: { readonly name: ImageName; readonly reference: string }): VNode {
  const lines = pullLines(name, reference);
  const [, line = ''] = lines.find(([one]) => one === client.value) ?? lines[0] ?? [];
  return (
    <div class="pull">
      <SelectField
        label="Client"
        isCompact
        value={client.value}
        options={lines.map(([one]) => [one, one])}
        onChange={(chosen) => (client.value = chosen)}
      />
      <CopyLine text={line} label="Copy pull command" />
    </div>
  );
}
