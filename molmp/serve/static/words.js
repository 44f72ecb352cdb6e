// Elements and numbers as people read them.

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value; else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export const shown = (value) => value === null || value === undefined ? "\u2013"
  : typeof value === "number" ? String(Number(value.toPrecision(4))) : String(value);

const percent = (share) => typeof share === "number" ? `${(100 * share).toFixed(share > 0.995 || share < 0.005 ? 1 : 0)} %` : "\u2013";

export const picture = (smiles) => element("img", {
  className: "molecule", loading: "lazy", alt: "", src: `api/drawing?smiles=${encodeURIComponent(smiles)}`, width: 200, height: 130,
});

// What the values of a molecule say of a target: `main` in a few characters, `more` about how far to believe it, `key` to sort by.
export function told(target, values) {
  const value = (end) => values[`${target.name}_${end}`];
  const set = value("set") === undefined ? "" : value("set")?.replaceAll("|", " or ") ?? "\u2013";
  if (!target.classes.length) {
    const [low, high] = [value("low"), value("high")];
    const more = low === undefined ? "" : low === null || high === null ? "no interval" : `${shown(low)} to ${shown(high)}`;
    return { main: shown(value("pred")), more, key: value("pred") };
  }
  const likeliest = value("pred");
  if (typeof likeliest === "string") {
    return { main: `${likeliest} ${percent(value(`calibrated_${likeliest}`) ?? value(`prob_${likeliest}`))}`, more: set, key: likeliest };
  }
  const chance = value("calibrated") ?? likeliest;
  return { main: `${target.classes[1]} ${percent(chance)}`, more: set, key: chance };
}

// Whether the model was made for molecules like this one; null where it cannot tell.
export function domain(values, inside = "in domain", outside = "out of domain") {
  if (!values.in_domain) return null;
  return values.in_domain === "yes"
    ? element("span", { className: "badge in" }, inside)
    : element("span", { className: "badge out", title: values.domain_reason ?? "" }, outside);
}
