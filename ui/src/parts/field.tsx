import type { ComponentChildren, VNode } from 'preact';
import { useId } from 'preact/hooks';

/** A text field with its label. */
export function TextField({
  label,
  value,
  onInput,
  help,
  problem,
  ...input
}: {
  readonly label: string;
  readonly value: string;
  readonly onInput: (value: string) => void;
  readonly help?: ComponentChildren;
  /** What is wrong with the value. */
  readonly problem?: string | undefined;
  readonly type?: 'text' | 'password' | 'search' | 'number' | 'url';
  readonly name?: string;
  readonly autocomplete?: string;
  readonly placeholder?: string;
  readonly required?: boolean;
  readonly spellcheck?: boolean;
}): VNode {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        id={id}
        autocapitalize="off"
        spellcheck={false}
        autocomplete="off"
        {...input}
        value={value}
        aria-invalid={problem !== undefined}
        aria-describedby={`${id}-help`}
        onInput={(event) => onInput(event.currentTarget.value)}
      />
      <p id={`${id}-help`} class={problem === undefined ? 'faint' : 'wrong'}>
        {problem ?? help}
      </p>
    </div>
  );
}

/** A list to choose from, with its label. */
export function SelectField({
  label,
  value,
  options,
  onChange,
  isCompact = false,
}: {
  readonly label: string;
  readonly value: string;
  /** Values with their texts. */
  readonly options: readonly (readonly [value: string, text: string])[];
  readonly onChange: (value: string) => void;
  /** Whether only screen readers get the label. */
  readonly isCompact?: boolean;
}): VNode {
  const id = useId();
  return (
    <div class={isCompact ? 'field compact' : 'field'}>
      <label for={id} class={isCompact ? 'hidden' : ''}>
        {label}
      </label>
      <select id={id} value={value} onChange={(event) => onChange(event.currentTarget.value)}>
        {options.map(([option, text]) => (
          <option key={option} value={option}>
            {text}
          </option>
        ))}
      </select>
    </div>
  );
}

/** A check box with its label. */
export function CheckField({
  label,
  checked,
  onChange,
}: {
  readonly label: string;
  readonly checked: boolean;
  readonly onChange: (checked: boolean) => void;
}): VNode {
  return (
    <label class="check">
      <input type="checkbox" checked={checked} onChange={(event) => onChange(event.currentTarget.checked)} />
      {label}
    </label>
  );
}

/** A field that filters a list while the user types. */
export function FilterField({
  label,
  value,
  onInput,
}: {
  readonly label: string;
  readonly value: string;
  readonly onInput: (value: string) => void;
}): VNode {
  return (
    <input
      type="search"
      class="filter"
      aria-label={label}
      placeholder={label}
      value={value}
      spellcheck={false}
      onInput={(event) => onInput(event.currentTarget.value)}
    />
  );
}
